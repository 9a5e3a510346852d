"""Shapes, sizes and names of the networks."""

import numpy as np
import pytest

from trainer.config.learning import ModelSettings
from trainer.gan.networks import build_discriminator, build_generator

SEED2018 = ModelSettings(
    architecture="seed2018", base_channels=64, latent_dim=100, latent_distribution="uniform"
)


def _trainable(network) -> int:
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def test_seed2018_has_the_tutorials_parameters():
    assert _trainable(build_generator(SEED2018, 128)) == 24_034_819
    assert _trainable(build_discriminator(SEED2018, 128)) == 17_484_289


@pytest.mark.parametrize("size_px", [32, 64, 128, 256])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("architecture", ["dcgan", "resnet"])
def test_latents_become_pictures_and_pictures_logits(size_px, norm, architecture):
    settings = ModelSettings(
        architecture=architecture, base_channels=2, generator_norm=norm, discriminator_norm=norm
    )
    generator = build_generator(settings, size_px)
    pictures = generator(np.zeros((3, settings.latent_dim), np.float32))
    assert pictures.shape == (3, size_px, size_px, 3)
    assert np.abs(pictures).max() <= 1
    assert build_discriminator(settings, size_px)(pictures).shape == (3, 1)


def test_width_scales_and_is_bounded():
    def widths(base, most):
        settings = ModelSettings(base_channels=base, max_channels=most)
        network = build_discriminator(settings, 64)
        return [layer.filters for layer in network.layers if hasattr(layer, "filters")]

    assert widths(16, 512) == [16, 32, 64, 128]
    assert widths(32, 100) == [32, 64, 100, 100]


def test_weights_are_a_function_of_the_seed():
    def kernel(seed):
        return build_generator(ModelSettings(base_channels=2), 32, seed=seed).get_weights()[0]

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))


@pytest.mark.parametrize("architecture", ["dcgan", "resnet"])
def test_activations_keep_their_size_through_the_networks(architecture):
    """He initialisation: neither vanishing nor exploding at any width."""
    for base in (4, 32):
        settings = ModelSettings(architecture=architecture, base_channels=base)
        latents = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
        pictures = build_generator(settings, 64)(latents)
        assert 0.2 < np.std(pictures) < 0.9
        # Patches of one colour: averaging would rightly shrink what varies from pixel to pixel.
        patches = np.random.default_rng(1).uniform(-1, 1, (64, 4, 4, 3)).astype(np.float32)
        patches = patches.repeat(16, axis=1).repeat(16, axis=2)
        assert 0.05 < np.std(build_discriminator(settings, 64)(patches)) < 5


def test_a_residual_block_begins_as_the_identity():
    """The whole discriminator is then what its skips, averages and logit make of the pictures."""
    settings = ModelSettings(architecture="resnet", base_channels=8, max_channels=8)
    network = build_discriminator(settings, 32)
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    seen = network.get_layer("discriminator_in_conv")(pictures).numpy()
    means = seen.reshape(2, 4, 8, 4, 8, 8).mean((2, 4))  # 32 px to 4, no change of width
    active = np.where(means > 0, means, 0.2 * means).reshape(2, -1)
    kernel, bias = network.get_layer("discriminator_logit").get_weights()
    np.testing.assert_allclose(network(pictures), active @ kernel + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "seed2018"])
def test_quick_layers_are_the_built_in_ones(architecture, policy):
    """Same names, weights, pictures, gradients and gradients of gradients."""
    import tensorflow as tf

    settings = ModelSettings(architecture=architecture, base_channels=4, latent_dim=8)
    rng = np.random.default_rng(0)
    latents, found = rng.standard_normal((3, 8)), []
    for quick in (False, True):
        options = {"seed": 5, "policy": policy, "quick": quick}
        generator = build_generator(settings, 32, **options)
        discriminator = build_discriminator(settings, 32, **options)
        weights = [*generator.trainable_variables, *discriminator.trainable_variables]
        with tf.GradientTape() as outer:
            pictures = generator(latents)
            with tf.GradientTape() as inner:
                inner.watch(pictures)
                logits = discriminator(pictures)
            slope = inner.gradient(logits, pictures)
            penalty = tf.reduce_sum(tf.square(slope)) + tf.reduce_sum(logits)
        gradients = outer.gradient(penalty, [v.value for v in weights])
        found.append([pictures, logits, slope, *gradients])
        names = [v.path.split("/", 1)[-1] for v in weights]
    tolerance = 1e-11 if policy == "float64" else 0.1
    for plain, quick, name in zip(*found, ["pictures", "logits", "slope", *names], strict=True):
        size = np.abs(plain).max()
        np.testing.assert_allclose(quick, plain, atol=tolerance * size, rtol=0, err_msg=name)
