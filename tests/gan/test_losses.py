"""Losses and penalties against values worked out by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config import from_text
from trainer.config.learning import LossSettings
from trainer.gan.augment import Augmentation
from trainer.gan.halves import Halves, Rows
from trainer.gan.loss_scale import LossScale
from trainer.gan.losses import build_loss, one_lipschitz_rows
from trainer.gan.values import values_at

REAL = tf.constant([[0.0], [2.0]], tf.float64)
FAKE = tf.constant([[1.0], [-3.0]], tf.float64)


def _softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def _mean(logits):
    return tf.reduce_mean(logits)


def test_non_saturating_is_cross_entropy():
    loss = build_loss(LossSettings(name="non_saturating"))
    real, fake = loss.discriminator(REAL, FAKE, _mean)
    np.testing.assert_allclose(real, [math.log(2), _softplus(-2)], rtol=1e-12)
    np.testing.assert_allclose(fake, [_softplus(1), _softplus(-3)], rtol=1e-12)
    np.testing.assert_allclose(loss.generator(None, FAKE, _mean), [_softplus(-1), _softplus(3)])


def test_label_smoothing_is_one_sided():
    loss = build_loss(LossSettings(name="non_saturating", label_smoothing=0.1))
    real, fake = loss.discriminator(REAL, FAKE, _mean)
    by_hand = [math.log(2), 0.9 * _softplus(-2) + 0.1 * _softplus(2)]
    np.testing.assert_allclose(real, by_hand, rtol=1e-12)
    np.testing.assert_allclose(fake, [_softplus(1), _softplus(-3)], rtol=1e-12)


def test_relativistic_pairing_compares_rows():
    loss = build_loss(LossSettings(name="relativistic_pairing"))
    real, fake = loss.discriminator(REAL, FAKE, _mean)
    np.testing.assert_allclose(real + fake, [_softplus(1), _softplus(-5)], rtol=1e-12)
    np.testing.assert_allclose(loss.generator(REAL, FAKE, _mean), [_softplus(-1), _softplus(5)])


class _Quadratic(keras.Model):
    """D(x) = w * sum(x^2): its gradient is 2 w x, known without differentiating."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.w = self.add_weight(shape=(), initializer="ones")

    def call(self, images, training=False):
        return self.w * tf.reduce_sum(tf.square(images), [1, 2, 3])[:, None]


# By hand, for real logits 0 and 2 (mean 1) and generated ones 1 and -3 (mean -1).
BY_HAND = {
    "hinge": ([1, 0], [2, 0], [-1, 3]),
    "least_squares": ([0.5, 0.5], [0.5, 4.5], [0, 8]),
    "wasserstein": ([0, -2], [1, -3], [-1, 3]),
    "relativistic_average": ([0, 4], [1, 9], [1 + 4, 25 + 16]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_losses_by_hand(name):
    loss = build_loss(LossSettings(name=name))
    real, fake, generator = BY_HAND[name]
    rows = loss.discriminator(REAL, FAKE, _mean)
    np.testing.assert_allclose(rows[0], real, atol=1e-12)
    np.testing.assert_allclose(rows[1], fake, atol=1e-12)
    np.testing.assert_allclose(loss.generator(REAL, FAKE, _mean), generator, atol=1e-12)


@pytest.mark.parametrize("name", [*BY_HAND, "non_saturating", "relativistic_pairing"])
def test_gradients_of_losses_by_differences(name):
    """The derivative for every logit, through means of the batch too, against central ones."""
    loss = build_loss(LossSettings(name=name))
    rng = np.random.default_rng(5)
    logits = rng.standard_normal((2, 4, 1))

    def total(both):
        real, fake = tf.unstack(both)
        rows = *loss.discriminator(real, fake, _mean), loss.generator(real, fake, _mean)
        return tf.add_n(
            [tf.reduce_mean(r) * weight for r, weight in zip(rows, (1, 2, 4), strict=True)]
        )

    point = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = total(point)
    gradient, step = tape.gradient(value, point).numpy(), 1e-6
    for index in np.ndindex(logits.shape):
        change = np.zeros_like(logits)
        change[index] = step
        by_difference = (total(logits + change) - total(logits - change)) / (2 * step)
        np.testing.assert_allclose(gradient[index], by_difference, atol=1e-7)


def test_the_gradient_penalty_is_guarded_at_zero():
    """Gradients of length 5, 1 and 0; the dead picture's derivative is not NaN."""
    point = tf.constant(np.array([[3.0, 4.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    with tf.GradientTape() as tape:
        tape.watch(point)
        rows = one_lipschitz_rows(tf.reshape(point, [3, 1, 1, 3]))
    np.testing.assert_allclose(rows, [16, 0, 1], atol=1e-12)
    expected = [[2 * 4 * 0.6, 2 * 4 * 0.8, 0], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(tape.gradient(rows, point), expected, atol=1e-12)


def _halves(*overrides, d_scale=None, g_scale=None):
    """Losses of `_Quadratic` for two rows, and what a step draws for them."""
    config = from_text("", ["training.global_batch=2", *overrides])
    scales = d_scale or LossScale(False, "d"), g_scale or LossScale(False, "g")
    halves = Halves(_Quadratic(), config.loss, 2, *scales, Augmentation(()), lambda total: total)
    none = tf.zeros([2, 0])
    rows = Rows(none, none, tf.constant([[0.25], [0.5]]))
    return halves, (rows, values_at(config, tf.constant(0, tf.int64), tf.float64))


def test_the_gradient_penalty_lies_between_the_pictures():
    """2 |0.25 real + 0.75 fake| of the first row is 2 * 0.5 * sqrt(12), of the second 0."""
    halves, drawn = _halves(
        "loss.name=wasserstein",
        "loss.r1_weight=0",
        "loss.r2_weight=0",
        "loss.gradient_penalty_weight=10",
        "loss.penalty_every_steps=4",
    )
    real = tf.ones((2, 2, 2, 3), tf.float64)
    with_penalty, logs = halves.discriminator_half(real, -real, *drawn, True)
    without, _ = halves.discriminator_half(real, -real, *drawn, False)
    length = math.sqrt(12)
    by_hand = 10 * ((length - 1) ** 2 + 1) / 2
    np.testing.assert_allclose(logs["gradient_penalty"], by_hand, rtol=1e-12)
    # d(w length - 1)^2 / dw = 2 (length - 1) length at w = 1, halved by the mean, four times.
    extra = with_penalty[0] - without[0]
    np.testing.assert_allclose(extra, 4 * 10 * (length - 1) * length, rtol=1e-12)


@pytest.mark.parametrize("scaled", [False, True])
def test_penalties_are_half_the_weighted_mean_squared_norm(scaled):
    """Value and gradient, the interval's factor, and that a loss scale cancels out."""
    d_scale, g_scale = LossScale(scaled, "d"), LossScale(scaled, "g")
    settings = ["loss.r1_weight=3", "loss.r2_weight=0.5", "loss.penalty_every_steps=4"]
    halves, drawn = _halves(*settings, d_scale=d_scale, g_scale=g_scale)
    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.standard_normal((2, 2, 2, 3))) for _ in range(2))
    with_penalty, logs = halves.discriminator_half(real, fake, *drawn, True)
    without, _ = halves.discriminator_half(real, fake, *drawn, False)
    r1 = 0.5 * 3.0 * np.mean(np.sum((2 * real.numpy()) ** 2, axis=(1, 2, 3)))
    r2 = 0.5 * 0.5 * np.mean(np.sum((2 * fake.numpy()) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose([logs["r1_penalty"], logs["r2_penalty"]], [r1, r2], rtol=1e-12)
    # w = 1, so d(w^2 r)/dw = 2 r, four times because it is due every fourth step.
    extra = d_scale.unscale(with_penalty[0]) - d_scale.unscale(without[0])
    np.testing.assert_allclose(extra, 4 * 2 * (r1 + r2), rtol=1e-9)


def test_the_logged_loss_is_the_sum_of_its_parts_without_penalty():
    halves, drawn = _halves("loss.name=non_saturating")
    images = tf.ones((2, 2, 2, 3), tf.float64)
    _, logs = halves.discriminator_half(images, -images, *drawn, True)
    np.testing.assert_allclose(logs["d_loss"], logs["d_loss_real"] + logs["d_loss_fake"])
