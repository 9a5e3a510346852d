"""The step: what it changes, what it leaves alone, and that its variants agree."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.gan.small import arrays, assert_close
from trainer.errors import CheckpointError
from trainer.gan.build import build_gan
from trainer.gan.export import save_generator
from trainer.gan.values import values_at
from trainer.storage import open_folder


def _changed(before, after):
    return {name for name in before if not np.array_equal(before[name], after[name])}


def _drawn(gan):
    step = tf.constant(0, tf.int64)
    return gan.inputs.rows(step), values_at(gan.config, step, tf.float64)


NORMS = ["model.generator_norm=batch", "model.discriminator_norm=batch"]


@pytest.mark.parametrize("overrides", [[], NORMS], ids=["plain", "batch norm"])
def test_discriminators_half_leaves_every_bit_of_the_generator(small, pictures, overrides):
    gan = build_gan(small(*overrides), run_eagerly=True)
    before = gan.state()
    real = gan.inputs.real_images(tf.constant(pictures[0]), tf.constant(0, tf.int64))
    fake = tf.stop_gradient(gan.generator(gan.inputs.latents(tf.constant(0, tf.int64))))
    gradients, logs = gan.halves.discriminator_half(real, fake, *_drawn(gan), True)
    gan.update_discriminator(gradients, logs, None)
    changed = _changed(before, gan.state())
    assert changed
    assert all(name.startswith("discriminator") for name in changed)


@pytest.mark.parametrize("overrides", [[], NORMS], ids=["plain", "batch norm"])
def test_generators_half_leaves_every_bit_of_the_discriminator(small, pictures, overrides):
    gan = build_gan(small(*overrides), run_eagerly=True)
    step = tf.constant(0, tf.int64)
    real, latents = gan.inputs.real_images(tf.constant(pictures[0]), step), gan.inputs.latents(step)
    before = gan.state()
    weights = [v.value for v in gan.generator.trainable_variables]
    with tf.GradientTape() as tape:
        fake = gan.generator(latents, training=True)
    at_fake, logs = gan.halves.generator_half(real, tf.stop_gradient(fake), *_drawn(gan))
    gradients = tape.gradient(fake, weights, output_gradients=at_fake)
    gan.update_generator(gradients, logs, None)
    changed = _changed(before, gan.state())
    assert changed
    assert all(name.startswith("generator") for name in changed)


def test_moving_statistics_move_once_a_step(small, pictures, train):
    """D's see the two passes of its own half only; G's the one pass there is."""
    gan = build_gan(small(*NORMS), run_eagerly=True)
    calls = []
    for network in (gan.generator, gan.discriminator):
        norm = next(x for x in network.layers if isinstance(x, keras.layers.BatchNormalization))
        variable, original = norm.moving_mean, norm.moving_mean.assign
        norm.moving_mean.assign = lambda v, n=network.name, o=original, var=variable: (
            calls.append(n) if not keras.src.backend.in_stateless_scope() else None,
            o(v),
        )[1]
    train(gan, pictures[:1])
    assert calls.count("discriminator") == 2
    assert calls.count(gan.generator.name) == 1


def test_one_generator_pass_equals_two(small, pictures, train):
    """The chain rule through the pass already made is the gradient of a second pass."""
    config = small("loss.r1_weight=0", "loss.r2_weight=0")
    gan, other = build_gan(config, run_eagerly=True), build_gan(config, run_eagerly=True)
    train(gan, pictures[:1])
    step = tf.constant(0, tf.int64)
    real, latents = (
        other.inputs.real_images(tf.constant(pictures[0]), step),
        other.inputs.latents(step),
    )
    g, d = other.generator, other.discriminator
    with tf.GradientTape() as tape:
        margin = d(real, training=True) - d(g(latents, training=True), training=True)
        d_loss = tf.reduce_mean(tf.nn.softplus(-margin))
    other.discriminator_optimizer.apply(tape.gradient(d_loss, d.trainable_variables))
    with tf.GradientTape() as tape:
        margin = d(g(latents, training=True), training=True) - d(real, training=True)
        g_loss = tf.reduce_mean(tf.nn.softplus(-margin))
    other.generator_optimizer.apply(tape.gradient(g_loss, g.trainable_variables))
    networks = "generator/", "discriminator/"
    assert_close(arrays(gan, *networks), arrays(other, *networks))


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
@pytest.mark.parametrize("micro_batch", [2, 4, 6])
def test_parts_of_a_batch_add_up_to_the_batch(small, pictures, train, update, micro_batch):
    update = f"training.update={update}"
    whole = build_gan(small(update))
    parts = build_gan(small(update, f"training.micro_batch={micro_batch}"))
    train(whole, pictures[:4])
    train(parts, pictures[:4])
    assert_close(
        arrays(whole, "generator", "discriminator", "ema"),
        arrays(parts, "generator", "discriminator", "ema"),
    )


def test_eager_traced_and_several_steps_a_call_agree(small, pictures, train):
    states = []
    for eager in (False, True):
        gan = build_gan(small(), run_eagerly=eager)
        train(gan, pictures)
        states.append(gan.state())
    gan = build_gan(small("training.steps_per_call=5"))
    gan.steps_this_call = lambda step: min(5, 8 - step)
    gan.fit(tf.data.Dataset.from_tensor_slices(pictures), steps_per_epoch=2, verbose=0)
    assert gan.step == 8
    assert_close(states[0], states[1])
    assert_close(states[0], gan.state())


def test_compiled_step_agrees(small, pictures, train):
    plain, compiled = build_gan(small()), build_gan(small(), jit=True)
    train(plain, pictures[:3])
    train(compiled, pictures[:3])
    assert_close(arrays(plain, "generator", "ema"), arrays(compiled, "generator", "ema"), 1e-7)


def test_our_adam_is_keras_adam(small, pictures, train):
    gan = build_gan(small())
    theirs = keras.optimizers.Adam(4e-4, beta_1=0.0, beta_2=0.99, epsilon=1e-8)
    weights = [keras.Variable(v) for v in gan.discriminator.trainable_variables]
    rng = np.random.default_rng(0)
    for _ in range(5):
        gradients = [tf.constant(rng.standard_normal(v.shape)) for v in weights]
        gan.discriminator_optimizer.apply(gradients)
        theirs.apply(gradients, weights)
    for ours, reference in zip(gan.discriminator.trainable_variables, weights, strict=True):
        # Keras takes the decays through float32 on their way to float64.
        np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-8)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_weights_and_logits_whole(small, pictures, train, precision):
    gan = build_gan(small(f"precision={precision}"))
    figures = train(gan, pictures[:4])
    assert all(np.isfinite(value) for value in figures.values())
    assert {str(a.dtype) for a in arrays(gan, "generator/", "ema/").values()} == {"float32"}
    assert gan.discriminator(np.zeros((1, 32, 32, 3), np.float32)).dtype == tf.float32
    exact = train(build_gan(small("precision=float32")), pictures[:4])
    for name in ("d_loss", "g_loss", "r1_penalty", "r2_penalty"):
        assert figures[name] == pytest.approx(exact[name], rel=0.05), name


def test_a_non_finite_float16_gradient_changes_nothing_but_the_scale(small, pictures):
    gan = build_gan(small("precision=float16"), run_eagerly=True)
    before = gan.state()
    weights = gan.discriminator.trainable_variables
    gradients = [tf.fill(v.shape, float("inf") if i == 1 else 1.0) for i, v in enumerate(weights)]
    gan.update_discriminator(gradients, {}, None)
    changed = _changed(before, gan.state())
    assert changed == {"adaptive/d_loss_scale"}
    assert gan.d_scale.value.numpy() == before["adaptive/d_loss_scale"] / 2
    gan.update_discriminator([tf.ones(v.shape) for v in weights], {}, None)
    assert gan.discriminator_optimizer.iterations == 1


def test_a_penalty_that_overflows_float16_leaves_a_state_that_may_be_kept(small, pictures, train):
    """The update is skipped, the scale halved, and the last finite penalty stands for it."""
    gan = build_gan(small("precision=float16"))
    gan.d_scale.value.assign(2.0**24)
    before = arrays(gan, "discriminator/")
    figures = train(gan, pictures[:1])
    assert gan.d_scale.value.numpy() == 2.0**23
    for name, array in arrays(gan, "discriminator/").items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert gan.is_finite
    assert figures["r1_penalty"] == 0


def test_a_run_goes_on_with_another_precision_and_other_penalties(small, pictures, train):
    """A loss scale begins where there was none; a penalty's last value is new, or is forgotten."""
    plain = build_gan(small())
    figures = train(plain, pictures[:1])
    half = build_gan(small("precision=float16", "loss.gradient_penalty_weight=10"))
    begun = half.d_scale.value.numpy()
    half.load_state(plain.state(), 1)
    assert begun == half.d_scale.value.numpy() > 1
    np.testing.assert_array_equal(
        half.figures.last_penalties, [figures["r1_penalty"], figures["r2_penalty"], 0]
    )
    plain.load_state(half.state(), 1)
    half.d_scale.value.assign(begun / 4)
    half.d_scale.good_steps.assign(0)
    again = build_gan(small("precision=float16", "loss.gradient_penalty_weight=10"))
    again.load_state(half.state(), 1)
    assert again.d_scale.value.numpy() == begun / 4


def test_the_first_non_finite_step_is_remembered(small, pictures, train):
    gan = build_gan(small())
    train(gan, pictures[:2])
    assert gan.figures.first_nonfinite_step.numpy() == -1
    gan.discriminator.trainable_variables[0].assign(
        np.full(gan.discriminator.trainable_variables[0].shape, np.nan)
    )
    train(gan, pictures[2:4], first=2)
    assert gan.figures.first_nonfinite_step.numpy() == 3


def test_average_follows_its_half_life(small, pictures, train):
    """After one step of 6 pictures the half-life is 0.05 * 6 = 0.3 pictures."""
    gan = build_gan(small())
    old = arrays(gan, "ema/")
    train(gan, pictures[:1])
    new = arrays(gan, "generator/")
    beta = 0.5 ** (6 / 0.3)
    for name, average in arrays(gan, "ema/").items():
        source = new[name.replace("ema/", "generator/")]
        expected = beta * old[name] + (1 - beta) * source
        np.testing.assert_allclose(average, expected, rtol=1e-9, atol=1e-12)


def test_half_life_of_zero_copies(small, pictures, train):
    gan = build_gan(small("ema.half_life_images=0", *NORMS))
    train(gan, pictures[:2])
    for name, average in arrays(gan, "ema/").items():
        np.testing.assert_array_equal(average, gan.state()[name.replace("ema/", "generator/")])


def test_state_goes_round_and_names_are_stable(small, pictures, train):
    gan, other = build_gan(small()), build_gan(small("seed=9"))
    train(gan, pictures[:3])
    other.load_state(gan.state(), 3)
    assert_close(gan.state(), other.state(), 0)
    names = set(gan.state())
    assert "generator/generator_project/kernel" in names
    assert "discriminator_optimizer/velocity/discriminator_down16/bias" in names
    assert names == set(other.state())


def test_a_foreign_state_is_refused_by_name(small):
    gan = build_gan(small())
    state = gan.state()
    kernel = "generator/generator_project/kernel"
    with pytest.raises(CheckpointError, match="missing ema/generator_project/kernel"):
        gan.load_state({n: a for n, a in state.items() if n != "ema/generator_project/kernel"}, 1)
    with pytest.raises(CheckpointError, match=rf"{kernel} is \[1, 2\], not \[8, 256\]"):
        gan.load_state(state | {kernel: np.zeros((1, 2))}, 1)


def test_pictures_are_scaled_and_flipped_by_draw(small, pictures):
    step = tf.constant(5, tf.int64)
    plain = build_gan(small("dataset.flip=false", "model.picture_scale=0.5"))
    real = plain.inputs.real_images(tf.constant(pictures[0]), step).numpy()
    np.testing.assert_allclose(real, (pictures[0] / 127.5 - 1) * 0.5, atol=1e-12)
    flipped = build_gan(small()).inputs.real_images(tf.constant(pictures[0]), step).numpy()
    turned = [not np.allclose(flipped[i], 2 * real[i]) for i in range(6)]
    assert any(turned)
    for index, turn in enumerate(turned):
        expected = 2 * (real[index][:, ::-1] if turn else real[index])
        np.testing.assert_allclose(flipped[index], expected, atol=1e-12)


def test_saved_generator_opens_with_plain_keras(small, pictures, train, tmp_path):
    """In a process that cannot import this package."""
    import subprocess
    import sys

    gan = build_gan(small(*NORMS, "precision=float32"))
    train(gan, pictures[:2])
    save_generator(gan.ema_generator, open_folder(str(tmp_path)))
    latents = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    np.save(tmp_path / "latents.npy", latents)
    script = (
        "import sys, numpy as np; sys.modules['trainer'] = None; import keras;"
        "g = keras.saving.load_model('generator.keras');"
        "np.save('drawn.npy', g(np.load('latents.npy'), training=False)); print(g.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "catgan_generator_normal" in done.stdout
    np.testing.assert_allclose(np.load(tmp_path / "drawn.npy"), gan(latents), atol=1e-5)


def test_saved_generator_draws_in_the_full_range(small, tmp_path):
    gan = build_gan(small("model.picture_scale=0.5", "precision=float32"))
    save_generator(gan.ema_generator, open_folder(str(tmp_path)), 0.5)
    latents = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    saved = keras.saving.load_model(tmp_path / "generator.keras")
    assert saved.name == gan.ema_generator.name
    np.testing.assert_allclose(saved(latents), 2 * gan(latents), atol=1e-5)
