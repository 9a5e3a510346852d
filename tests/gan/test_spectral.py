"""Spectral normalisation: the singular value, its gradient, and when its vectors move."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.gan.small import arrays, assert_close
from trainer.gan import spectral
from trainer.gan.build import build_gan
from trainer.gan.spectral import SpectralConv2D, SpectralDense

SPECTRAL = "model.spectral_norm=true"


def local(variable):
    return variable.value


def layer_of(kind, policy="float64"):
    """A layer with a kernel as a matrix of 12 or 3 rows by 5 columns, and pictures or rows."""
    random = np.random.default_rng(0)
    initializer = keras.initializers.RandomNormal(seed=4)
    if kind == "conv":
        layer = SpectralConv2D(5, 2, kernel_initializer=initializer, dtype=policy)
        inputs = random.standard_normal((2, 4, 4, 3))
    else:
        layer = SpectralDense(5, kernel_initializer=initializer, dtype=policy)
        inputs = random.standard_normal((2, 3))
    layer.build(inputs.shape)
    return layer, inputs


def matrix_of(layer):
    return np.asarray(layer.kernel).reshape(-1, 5)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_after_many_iterations_the_largest_singular_value_is_one(kind):
    layer, inputs = layer_of(kind)
    kernel = matrix_of(layer).copy()
    for _ in range(500):
        layer.iterate(local)
    np.testing.assert_array_equal(matrix_of(layer), kernel)
    sigma = np.linalg.svd(kernel, compute_uv=False)[0]
    used = kernel / sigma
    if kind == "dense":
        expected = inputs @ used
    else:
        filters = used.reshape(2, 2, 3, 5)
        expected = sum(
            inputs[:, y : y + 3, x : x + 3] @ filters[y, x] for y in (0, 1) for x in (0, 1)
        )
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["conv", "dense"])
@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
def test_sigma_is_sound_from_the_beginning(kind, policy):
    """The first grid is judged before the first update."""
    layer, _ = layer_of(kind, policy)
    matrix = matrix_of(layer)
    sigma = np.asarray(layer._right) @ matrix @ np.asarray(layer._left)
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    assert 0.3 * largest < sigma < 1.000001 * largest
    assert np.linalg.norm(layer._left) == pytest.approx(1, rel=1e-6)
    assert np.linalg.norm(layer._right) == pytest.approx(1, rel=1e-6)


def test_one_iteration_is_the_papers():
    """Algorithm 1 with W' as our matrix: v from W'u, u from Wv."""
    layer, _ = layer_of("dense")
    matrix, u = matrix_of(layer), np.asarray(layer._left).copy()
    layer.iterate(local)
    v = matrix @ u / np.linalg.norm(matrix @ u)
    u = matrix.T @ v / np.linalg.norm(matrix.T @ v)
    np.testing.assert_allclose(layer._right, v, rtol=1e-12)
    np.testing.assert_allclose(layer._left, u, rtol=1e-12)


def test_the_gradient_is_that_of_equation_ten():
    """(G - <G, W/sigma> u v') / sigma for the gradient G at the normed kernel."""
    layer, inputs = layer_of("dense")
    layer.iterate(local)
    matrix, u, v = matrix_of(layer), np.asarray(layer._left), np.asarray(layer._right)
    ahead = np.random.default_rng(1).standard_normal((2, 5))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs) * ahead)
    sigma = v @ matrix @ u
    outer = inputs.T @ ahead
    expected = (outer - np.sum(outer * matrix / sigma) * np.outer(v, u)) / sigma
    np.testing.assert_allclose(tape.gradient(loss, layer.kernel.value), expected, rtol=1e-9)


def test_sigma_is_computed_in_full_precision():
    """In half precision, but for the product itself, it is float32's."""
    layers = [layer_of("dense", policy)[0] for policy in ("float32", "mixed_bfloat16")]
    inputs = np.eye(3, dtype=np.float32)
    kernels = []
    for layer in layers:
        layer.iterate(local)
        kernels.append(np.asarray(layer(inputs), np.float32) - np.asarray(layer.bias))
    exact = tf.cast(tf.cast(kernels[0], tf.bfloat16), tf.float32)
    np.testing.assert_array_equal(kernels[1], exact)


@pytest.fixture
def counted(monkeypatch):
    calls = []
    iterate = spectral.Spectral.iterate

    def counting(layer, local):
        calls.append(layer.name)
        iterate(layer, local)

    monkeypatch.setattr(spectral.Spectral, "iterate", counting)
    return calls


@pytest.mark.parametrize(
    "keys", [[], ["training.update=simultaneous"], ["training.micro_batch=2"]], ids=str
)
def test_vectors_move_once_for_each_update_of_d(small, pictures, train, counted, keys):
    """Also in a step with penalties, where D is asked five times."""
    gan = build_gan(small(SPECTRAL, *keys), run_eagerly=True)
    layers = [x.name for x in gan.discriminator.layers if isinstance(x, spectral.Spectral)]
    assert len(layers) == 4
    train(gan, pictures[:1])
    assert sorted(counted) == sorted(layers)


def test_vectors_are_in_the_checkpoint_and_a_resumed_run_is_the_same(small, pictures, train):
    config = small(SPECTRAL)
    whole, first, second = build_gan(config), build_gan(config), build_gan(config)
    train(whole, pictures[:4])
    train(first, pictures[:2])
    state = first.state()
    vectors = [name for name in state if "spectral_" in name]
    assert len(vectors) == 8
    assert all(name.startswith("discriminator/") for name in vectors)
    second.load_state(state, 2)
    train(second, pictures[2:4], first=2)
    assert_close(whole.state(), second.state(), 0)


def test_only_the_discriminator_has_them(small):
    gan = build_gan(small(SPECTRAL, "model.architecture=resnet"))
    assert not any("spectral" in name for name in arrays(gan, "generator/", "ema/"))
