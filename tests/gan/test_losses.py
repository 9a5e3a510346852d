"""Losses and penalties against values worked out by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config.learning import LossSettings
from trainer.gan.halves import Halves
from trainer.gan.loss_scale import LossScale
from trainer.gan.losses import build_loss

REAL = tf.constant([[0.0], [2.0]], tf.float64)
FAKE = tf.constant([[1.0], [-3.0]], tf.float64)


def _softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_non_saturating_is_cross_entropy():
    loss = build_loss(LossSettings(name="non_saturating"))
    real, fake = loss.discriminator(REAL, FAKE)
    np.testing.assert_allclose(real, [math.log(2), _softplus(-2)], rtol=1e-12)
    np.testing.assert_allclose(fake, [_softplus(1), _softplus(-3)], rtol=1e-12)
    np.testing.assert_allclose(loss.generator(None, FAKE), [_softplus(-1), _softplus(3)])


def test_label_smoothing_is_one_sided():
    loss = build_loss(LossSettings(name="non_saturating", label_smoothing=0.1))
    real, fake = loss.discriminator(REAL, FAKE)
    by_hand = [math.log(2), 0.9 * _softplus(-2) + 0.1 * _softplus(2)]
    np.testing.assert_allclose(real, by_hand, rtol=1e-12)
    np.testing.assert_allclose(fake, [_softplus(1), _softplus(-3)], rtol=1e-12)


def test_relativistic_pairing_compares_rows():
    loss = build_loss(LossSettings(name="relativistic_pairing"))
    real, fake = loss.discriminator(REAL, FAKE)
    np.testing.assert_allclose(real + fake, [_softplus(1), _softplus(-5)], rtol=1e-12)
    np.testing.assert_allclose(loss.generator(REAL, FAKE), [_softplus(-1), _softplus(5)])


class _Quadratic(keras.Model):
    """D(x) = w * sum(x^2): its gradient is 2 w x, known without differentiating."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.w = self.add_weight(shape=(), initializer="ones")

    def call(self, images, training=False):
        return self.w * tf.reduce_sum(tf.square(images), [1, 2, 3])[:, None]


@pytest.mark.parametrize("scaled", [False, True])
def test_penalties_are_half_the_weighted_mean_squared_norm(scaled):
    """Value and gradient, the interval's factor, and that a loss scale cancels out."""
    d_scale, g_scale = LossScale(scaled, "d"), LossScale(scaled, "g")
    settings = LossSettings(r1_weight=3.0, r2_weight=0.5, penalty_every_steps=4)
    halves = Halves(_Quadratic(), settings, 2, d_scale, g_scale)
    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.standard_normal((2, 2, 2, 3))) for _ in range(2))
    with_penalty, logs = halves.discriminator_half(real, fake, True)
    without, _ = halves.discriminator_half(real, fake, False)
    r1 = 0.5 * 3.0 * np.mean(np.sum((2 * real.numpy()) ** 2, axis=(1, 2, 3)))
    r2 = 0.5 * 0.5 * np.mean(np.sum((2 * fake.numpy()) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose([logs["r1_penalty"], logs["r2_penalty"]], [r1, r2], rtol=1e-12)
    # w = 1, so d(w^2 r)/dw = 2 r, four times because it is due every fourth step.
    extra = d_scale.unscale(with_penalty[0]) - d_scale.unscale(without[0])
    np.testing.assert_allclose(extra, 4 * 2 * (r1 + r2), rtol=1e-9)


def test_the_logged_loss_is_the_sum_of_its_parts_without_penalty():
    scales = LossScale(False, "d"), LossScale(False, "g")
    halves = Halves(_Quadratic(), LossSettings(name="non_saturating"), 2, *scales)
    images = tf.ones((2, 2, 2, 3), tf.float64)
    _, logs = halves.discriminator_half(images, -images, True)
    np.testing.assert_allclose(logs["d_loss"], logs["d_loss_real"] + logs["d_loss_fake"])
