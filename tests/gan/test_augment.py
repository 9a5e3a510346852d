"""Augmentation: what it does to pictures, and that it can be differentiated twice."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.gan.augment import Augmentation
from trainer.gan.draws import Draws
from trainer.gan.resampling import gathered, shifted, taps

KINDS = ["colour", "translation", "cutout", "geometric"]
ROWS, SIDE = 6, 16


def _pictures(seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (ROWS, SIDE, SIDE, 3)))


def _augmented(kinds, images, strength, step=0):
    augmentation = Augmentation(kinds)
    numbers = augmentation.draw(Draws(1, ROWS), "real", tf.constant(step, tf.int64))
    return augmentation(images, numbers, strength)


@pytest.mark.parametrize("kind", KINDS)
def test_strength_is_the_share_of_pictures_that_change(kind):
    images = _pictures()
    np.testing.assert_allclose(_augmented([kind], images, 0.0), images, atol=1e-12)

    def share(strength):
        changed = [
            np.abs(_augmented([kind], images, strength, step) - images).max(axis=(1, 2, 3)) > 1e-9
            for step in range(50)
        ]
        return np.mean(changed)

    # A move by no pixel is one of the 25 moves of so small a picture.
    assert share(1.0) > 0.9
    # Colour has three gates of its own, geometric five in four transformations.
    least = {"colour": 1 - 0.8**3, "geometric": 1 - 0.8**4}.get(kind, 0.2)
    assert abs(share(0.2) - least) < 0.1


def test_the_order_of_the_config_does_not_matter():
    one, other = _augmented(KINDS, _pictures(), 1.0), _augmented(KINDS[::-1], _pictures(), 1.0)
    np.testing.assert_array_equal(one, other)


def test_cutout_hides_a_quarter_at_most_and_translation_moves_whole_pixels():
    ones = tf.ones((ROWS, SIDE, SIDE, 3), tf.float64)
    hidden = np.mean(_augmented(["cutout"], ones, 1.0) == 0, axis=(1, 2, 3))
    assert (hidden > 0).all()
    assert (hidden <= 0.25).all()
    assert hidden.max() > 0.15
    images = _pictures()
    moved = np.asarray(_augmented(["translation"], images, 1.0))
    values = {tuple(pixel) for pixel in images.numpy().reshape(-1, 3)} | {(0.0, 0.0, 0.0)}
    assert {tuple(pixel) for pixel in moved.reshape(-1, 3)} <= values


def test_colour_by_hand():
    """A constant picture: saturation and contrast about the mean leave it, brightness adds."""
    grey = tf.fill((ROWS, SIDE, SIDE, 3), tf.constant(0.25, tf.float64))
    result = np.asarray(_augmented(["colour"], grey, 1.0))
    assert np.ptp(result, axis=(1, 2, 3)).max() < 1e-12
    assert (np.abs(result[:, 0, 0, 0] - 0.25) <= 0.5).all()
    assert np.ptp(result[:, 0, 0, 0]) > 0.2


def test_shifted_by_hand():
    images = _pictures()
    moved = shifted(images, tf.constant([[1, -2]] * ROWS)).numpy()
    np.testing.assert_array_equal(moved[:, 1:, :-2], images.numpy()[:, :-1, 2:])
    assert (moved[:, 0] == 0).all()
    assert (moved[:, :, -2:] == 0).all()


def test_a_quarter_turn_and_a_half_pixel_by_hand():
    images = _pictures()
    turn = tf.constant([[[0.0, -1.0], [1.0, 0.0]]] * ROWS, tf.float64)
    turned = gathered(images, taps(SIDE, turn, tf.zeros((ROWS, 2), tf.float64))).numpy()
    # Where a pixel is r below and c right of the middle, its colour was -c below and r right.
    np.testing.assert_allclose(turned, np.rot90(images.numpy(), -1, (1, 2)), atol=1e-9)
    still = tf.constant([[[1.0, 0.0], [0.0, 1.0]]] * ROWS, tf.float64)
    move = tf.constant([[0.0, 0.5]] * ROWS, tf.float64)
    half = gathered(images, taps(SIDE, still, move)).numpy()
    mean = (images.numpy()[:, :, :-1] + images.numpy()[:, :, 1:]) / 2
    np.testing.assert_allclose(half[:, :, 1:], mean, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_first_and_second_derivatives_against_differences(kind):
    """The penalty's path: the derivative of a squared gradient, along a random direction."""
    rng = np.random.default_rng(2)
    weights, direction = (tf.constant(rng.standard_normal((ROWS, SIDE, SIDE, 3))) for _ in "ab")

    def penalty(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            seen = _augmented([kind], images, 1.0)
            value = tf.reduce_sum(weights * seen**3)
        return value, tape.gradient(value, images)

    images = _pictures(3)
    with tf.GradientTape() as outer:
        outer.watch(images)
        _, gradient = penalty(images)
        total = tf.reduce_sum(tf.square(gradient))
    second = tf.reduce_sum(outer.gradient(total, images) * direction)
    step = 1e-5
    (above, g_above), (below, g_below) = (
        penalty(images + sign * step * direction) for sign in (1, -1)
    )
    first = tf.reduce_sum(gradient * direction)
    np.testing.assert_allclose(first, (above - below) / (2 * step), rtol=1e-5)
    change = (tf.reduce_sum(g_above**2) - tf.reduce_sum(g_below**2)) / (2 * step)
    np.testing.assert_allclose(second, change, rtol=1e-5)


def test_rows_of_workers_are_those_of_one():
    augmentation, step = Augmentation(KINDS), tf.constant(3, tf.int64)
    whole = augmentation.draw(Draws(1, ROWS), "real", step).numpy()
    part = augmentation.draw(Draws(1, ROWS, np.array([1, 4])), "real", step).numpy()
    np.testing.assert_array_equal(part, whole[[1, 4]])
    assert not np.array_equal(whole, augmentation.draw(Draws(1, ROWS), "fake", step).numpy())
