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
@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "r3gan"])
def test_latents_become_pictures_and_pictures_logits(size_px, norm, architecture):
    if architecture == "r3gan" and norm == "batch":
        pytest.skip("refused: it needs no normalisation")
    settings = ModelSettings(
        architecture=architecture,
        base_channels=2,
        group_width=2,
        generator_norm=norm,
        discriminator_norm=norm,
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


@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "r3gan"])
def test_activations_keep_their_size_through_the_networks(architecture):
    """He initialisation: neither vanishing nor exploding at any width."""
    for base in (4, 32):
        settings = ModelSettings(architecture=architecture, base_channels=base, group_width=8)
        latents = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
        pictures = build_generator(settings, 64)(latents)
        assert 0.2 < np.std(pictures) < 0.9
        # Patches of one colour: averaging would rightly shrink what varies from pixel to pixel.
        patches = np.random.default_rng(1).uniform(-1, 1, (64, 4, 4, 3)).astype(np.float32)
        patches = patches.repeat(16, axis=1).repeat(16, axis=2)
        assert 0.05 < np.std(build_discriminator(settings, 64)(patches)) < 5


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(),
        ModelSettings(upsampling="low_pass"),
        ModelSettings(architecture="resnet"),
        ModelSettings(architecture="resnet", spectral_norm=True),
        ModelSettings(architecture="r3gan"),
    ],
    ids=["dcgan", "low-pass", "resnet", "resnet, spectral", "r3gan"],
)
def test_gradients_reach_the_picture_and_the_first_map_in_good_size(settings, policy):
    """Through D to its picture, and through G to what the latents begin: no layer starves."""
    import tensorflow as tf

    from trainer.gan import spectral

    latents = np.random.default_rng(0).standard_normal((16, 128)).astype(np.float32)
    generator = build_generator(settings, 32, policy=policy)
    discriminator = build_discriminator(settings, 32, policy=policy)
    for _ in range(20):
        spectral.iterate(discriminator, lambda variable: variable.value)
    first = generator.get_layer("generator_project").kernel.value
    with tf.GradientTape(persistent=True) as tape:
        pictures = generator(latents)
        tape.watch(pictures)
        logits = discriminator(pictures)
        total = tf.reduce_sum(logits)
    at_picture = np.asarray(tape.gradient(total, pictures), np.float32)
    at_first = np.asarray(tape.gradient(pictures, first), np.float32)
    assert np.isfinite(at_picture).all()
    # Per picture, over all its numbers: D's slope is neither flat nor a cliff.
    slopes = np.linalg.norm(at_picture.reshape(16, -1), axis=1)
    assert 1e-3 < np.median(slopes) < 1e2
    assert 1e-3 < np.sqrt(np.mean(np.square(at_first))) < 1e3


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


def test_an_r3gan_block_begins_as_the_identity():
    settings = ModelSettings(architecture="r3gan", base_channels=8, group_width=8, blocks=3)
    network = build_discriminator(settings, 32)
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    first = network.get_layer("discriminator_in_conv")
    last = network.get_layer("discriminator_block32_3")
    import keras

    seen = keras.Model(network.input, [first.output, last.output])(pictures)
    np.testing.assert_array_equal(*seen)


def test_fixup_scales_the_first_two_convolutions_of_a_branch():
    """16 blocks in all: 4 sizes of 4; scale 16^(-1/4) = 1/2."""
    settings = ModelSettings(architecture="r3gan", base_channels=64, max_channels=64, blocks=4)
    network = build_discriminator(settings, 32)
    for name, fan_in in (("1", 64), ("2", 9 * 16)):
        kernel = network.get_layer(f"discriminator_block16_2_{name}_conv").kernel
        expected = 0.5 * np.sqrt(2 / (1.04 * fan_in))
        assert np.std(kernel) == pytest.approx(expected, rel=0.03)
    assert not np.any(network.get_layer("discriminator_block16_2_3_conv").kernel)


def test_resampling_has_the_filter_one_two_one():
    """Against NumPy, along one side: doubled linearly, and halved by (1, 2, 1) / 4."""
    import keras

    from trainer.gan.builder import Builder
    from trainer.gan.r3gan import _halved

    build = Builder("x", ModelSettings(), policy="float64")
    grid = keras.Input((6, 6, 1), dtype="float64")
    double = keras.Model(grid, build.doubled(grid, "up"))
    halved = keras.Model(grid, _halved(build, grid, "down"))
    line = np.random.default_rng(0).standard_normal(6)
    given = np.broadcast_to(line[None, :, None, None], (1, 6, 6, 1))
    following = np.append(line[1:], line[-1])
    between = np.stack([line, (line + following) / 2], axis=1).reshape(-1)
    np.testing.assert_allclose(double(given)[0, :, 3, 0], between, rtol=1e-12)
    after = np.append(following[1:], line[-1])
    expected = ((line + 2 * following + after) / 4)[:4:2]
    np.testing.assert_allclose(halved(given)[0, :2, 1, 0], expected, rtol=1e-12)


def test_the_first_map_is_a_learned_one_times_a_number():
    """Whatever the latents, all maps of a channel are multiples of one another."""
    import keras

    settings = ModelSettings(architecture="r3gan", base_channels=4, group_width=4, latent_dim=5)
    network = build_generator(settings, 32)
    first = keras.Model(network.input, network.get_layer("generator_first").output)
    maps = first(np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)).numpy()
    assert maps.shape[1:3] == (4, 4)
    for channel in range(maps.shape[3]):
        assert np.linalg.matrix_rank(maps[..., channel].reshape(3, -1), tol=1e-5) == 1


def test_low_pass_doubling_leaves_no_checkerboard():
    """A flat map stays flat through the freshly drawn layer; through overlapping kernels not."""
    import keras

    rough = {}
    for way in ("transposed", "low_pass"):
        settings = ModelSettings(base_channels=16, upsampling=way)
        network = build_generator(settings, 64)
        before = network.get_layer("generator_leaky8").output
        upward = keras.Model(before, network.get_layer("generator_up16").output)
        flat = np.ones((1, 8, 8, upward.input_shape[3]), np.float32)
        inner = upward(flat).numpy()[0, 4:12, 4:12]
        rough[way] = np.std(inner, axis=(0, 1)).mean() / np.std(inner)
    assert rough["low_pass"] < 1e-6
    assert rough["transposed"] > 0.1


def test_low_pass_doubling_keeps_activations_sizes():
    settings = ModelSettings(base_channels=16, upsampling="low_pass")
    latents = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
    assert 0.2 < np.std(build_generator(settings, 64)(latents)) < 0.9


@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "r3gan", "seed2018"])
def test_quick_layers_are_the_built_in_ones(architecture):
    """Same names, weights, pictures, gradients and gradients of gradients."""
    plain, quick = (_seen(architecture, "float64", quick) for quick in (False, True))
    assert plain.keys() == quick.keys()
    for name in plain:
        np.testing.assert_allclose(
            quick[name], plain[name], atol=1e-11 * np.abs(plain[name]).max(), rtol=0, err_msg=name
        )


@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "r3gan", "seed2018"])
def test_quick_layers_round_no_worse_in_half_precision(architecture):
    """Within a tenth of float32's, or no farther from it than the built-in layers are.

    Of sums over many pixels these lose more.
    """
    exact = _seen(architecture, "float32", False)
    plain, quick = (_seen(architecture, "mixed_bfloat16", quick) for quick in (False, True))
    for name, array in exact.items():
        size = np.abs(array).max()
        errors = [np.abs(other[name] - array).max() for other in (plain, quick)]
        assert errors[1] < max(0.1 * size, 1.5 * errors[0]), name


def _seen(architecture, policy, quick):
    import tensorflow as tf

    settings = ModelSettings(
        architecture=architecture, base_channels=4, latent_dim=8, group_width=4
    )
    latents = np.random.default_rng(0).standard_normal((3, 8))
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
    names = ["pictures", "logits", "slope", *(v.path.split("/", 1)[-1] for v in weights)]
    arrays = [np.asarray(x, np.float64) for x in (pictures, logits, slope, *gradients)]
    return dict(zip(names, arrays, strict=True))


def test_grouped_convolutions_are_keras_own():
    """Values, and both gradients, as the built-in layer has them."""
    import tensorflow as tf
    from keras import layers

    from trainer.gan.grouped import GroupedConv2D

    inputs = tf.constant(np.random.default_rng(0).standard_normal((2, 6, 6, 8)), tf.float32)
    ours, theirs = (
        kind(12, 3, padding="same", groups=4, kernel_initializer="glorot_uniform")
        for kind in (GroupedConv2D, layers.Conv2D)
    )
    found = []
    ours.build(inputs.shape)
    theirs.build(inputs.shape)
    theirs.set_weights(ours.get_weights())
    for layer in (ours, theirs):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(tf.sin(layer(inputs)))
            slope = inner.gradient(loss, inputs)
            penalty = tf.reduce_sum(tf.square(slope))
        found.append([loss, slope, outer.gradient(penalty, layer.kernel.value)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_saved_r3gan_generator_opens_in_plain_keras(tmp_path):
    import keras

    from trainer import storage
    from trainer.gan.export import foreign_objects, save_generator

    settings = ModelSettings(architecture="r3gan", base_channels=2, group_width=2, latent_dim=4)
    generator = build_generator(settings, 32)
    save_generator(generator, storage.open_folder(str(tmp_path)))
    path = tmp_path / "generator.keras"
    assert not foreign_objects(path)
    latents = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    opened = keras.saving.load_model(path, compile=False)
    np.testing.assert_allclose(opened(latents), generator(latents), rtol=1e-4, atol=1e-5)
