"""Pieces of the recipe that the config switches: each in the step, in every way a step is run."""

import numpy as np
import pytest
import tensorflow as tf

from tests.gan.small import arrays, assert_close
from trainer import config as configs
from trainer.gan.build import build_gan
from trainer.gan.values import values_at


def test_values_follow_the_pictures_seen(small, pictures, train):
    """Rates and half-life of a run of 8 steps of 6 pictures, half way and at its end."""
    config = small(
        "training.steps=8",
        "generator_optimizer.rate=2e-4 to 5e-5",
        "discriminator_optimizer.rate=1e-3 to 0.0001 linear over 24",
        "loss.r1_weight=2 to 0.2 linear",
        "ema.half_life_images=0 to 100 linear over 10",
    )
    for step, expected in (
        (0, (2e-4, 1e-3, 2.0, 0.0)),
        (2, (5e-5 + 1.5e-4 * (0.5 + 0.5 * np.cos(np.pi / 4)), 5.5e-4, 1.55, 100.0)),
        (8, (5e-5, 1e-4, 0.2, 100.0)),
    ):
        values = values_at(config, tf.constant(step, tf.int64), tf.float64)
        found = (
            values.generator_rate,
            values.discriminator_rate,
            values.r1_weight,
            values.half_life_images,
        )
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert values.r2_weight == 1.0


def test_a_scheduled_rate_is_the_rate_of_the_update(small, pictures, train):
    """Adam's first step moves every weight that has a gradient by the rate."""
    gan = build_gan(small("training.steps=8", "discriminator_optimizer.rate=1e-3 to 1e-4 linear"))
    kernel = "discriminator/discriminator_down16/kernel"
    before = gan.state()
    train(gan, pictures[4:5], first=4)
    moved = np.abs(gan.state()[kernel] - before[kernel])
    # Their ratio's limit is 1; epsilon and small gradients keep it below.
    np.testing.assert_allclose(np.median(moved), 5.5e-4, rtol=1e-3)


def test_long_gradients_are_cut(small, pictures, train):
    """Adam's mean after a step of decay 0 is the gradient itself."""
    plain = build_gan(small("discriminator_optimizer.clip_norm=0"))
    cut = build_gan(small("discriminator_optimizer.clip_norm=0.01"))
    train(plain, pictures[:1])
    train(cut, pictures[:1])
    means = "discriminator_optimizer/momentum"
    whole, shorter = arrays(plain, means), arrays(cut, means)
    norm = np.sqrt(sum(np.sum(np.square(a)) for a in whole.values()))
    assert norm > 0.01
    assert_close({n: a * 0.01 / norm for n, a in whole.items()}, shorter, 1e-9)


OPTIONS = {
    "hinge": ["loss.name=hinge"],
    "least squares": ["loss.name=least_squares"],
    "wasserstein, gradient penalty": [
        "loss.name=wasserstein",
        "loss.r1_weight=0",
        "loss.r2_weight=0",
        "loss.gradient_penalty_weight=10",
    ],
    "relativistic average": ["loss.name=relativistic_average"],
    "adaptive, augmented": [
        "loss.name=non_saturating",
        "augment.kinds=[colour, geometric]",
        "augment.strength=adaptive",
        "augment.adaptive_every_steps=1",
        "augment.adaptive_images=20",
    ],
    "residual networks": ["model.architecture=resnet"],
    "r3gan, two blocks": ["model.architecture=r3gan", "model.group_width=1", "model.expansion=4"],
    "spectral, hinge": ["model.spectral_norm=true", "loss.name=hinge"],
    "low-pass doubling": ["model.upsampling=low_pass"],
    "augmented, scheduled, cut": [
        "augment.kinds=[colour, translation, cutout, geometric]",
        "augment.strength=0.3 to 1 over 48",
        "loss.r1_weight=2 to 0.2",
        "generator_optimizer.rate=2e-4 to 5e-5",
        "generator_optimizer.clip_norm=1",
        "ema.half_life_images=0 to 100",
        "training.steps=8",
    ],
}


# Compiling takes ten seconds, R3GAN's groups two minutes and a half: these do not need it always,
# nor do those that are no more than another formula.
QUICK = [
    n if "," in n and "r3gan" not in n else pytest.param(n, marks=pytest.mark.slow) for n in OPTIONS
]


@pytest.mark.parametrize("name", QUICK)
def test_options_compiled_and_simultaneous_and_in_parts(small, pictures, train, name):
    """Every way to run a step with the option gives finite figures; those alike give the same."""
    options = OPTIONS[name]
    plain, compiled = build_gan(small(*options)), build_gan(small(*options), jit=True)
    figures = train(plain, pictures[:3])
    assert all(np.isfinite(value) for value in figures.values())
    train(compiled, pictures[:3])
    assert_close(arrays(plain, "generator", "ema"), arrays(compiled, "generator", "ema"), 1e-6)
    both = train(build_gan(small(*options, "training.update=simultaneous")), pictures[:3])
    assert all(np.isfinite(value) for value in both.values())
    if name != "relativistic average":
        parts = build_gan(small(*options, "training.micro_batch=4"))
        train(parts, pictures[:3])
        assert_close(arrays(plain, "generator/", "ema"), arrays(parts, "generator/", "ema"))


@pytest.mark.parametrize("name", OPTIONS)
def test_options_in_half_precision(small, pictures, train, name):
    exact = train(build_gan(small(*OPTIONS[name], "precision=float32")), pictures[:2])
    half = train(build_gan(small(*OPTIONS[name], "precision=bfloat16")), pictures[:2])
    for figure in ("d_loss", "g_loss", *(f for f in exact if "penalty" in f)):
        assert half[figure] == pytest.approx(exact[figure], rel=0.05, abs=0.02), figure


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "r3gan"])
def test_penalties_of_the_same_pictures_in_half_precision(architecture, precision):
    """To 1e-2; of norms about 1 a penalty is near its zero, so a steep D is looked at, too."""
    real, fake = np.random.default_rng(4).uniform(-1, 1, (2, 16, 32, 32, 3)).astype(np.float32)

    def penalties(precision, steepness):
        keys = ["dataset.size_px=32", "model.base_channels=8", "training.global_batch=16"]
        config = configs.from_text("", [
            *keys, f"model.architecture={architecture}", "model.group_width=4",
            "loss.gradient_penalty_weight=1", "augment.kinds=[colour, translation, geometric]",
            "augment.strength=0.5", f"precision={precision}",
        ])  # fmt: skip
        gan, step = build_gan(config), tf.constant(0, tf.int64)
        logit = next(w for w in gan.discriminator.trainable_variables if "logit/kernel" in w.path)
        logit.assign(steepness * logit)
        values = values_at(config, step, tf.float32)
        images = tf.constant(real), tf.constant(fake)
        _, logs = gan.halves.discriminator_half(*images, gan.inputs.rows(step), values, True)
        return {name: float(value) for name, value in logs.items() if "penalty" in name}

    exact, half = penalties("float32", 1.0), penalties(precision, 1.0)
    assert set(exact) == {"r1_penalty", "r2_penalty", "gradient_penalty"}
    for name in ("r1_penalty", "r2_penalty"):
        assert half[name] == pytest.approx(exact[name], rel=1e-2), name
    assert half["gradient_penalty"] == pytest.approx(exact["gradient_penalty"], abs=1e-2)
    if (architecture, precision) == ("dcgan", "bfloat16"):  # float16 would skip such an update
        exact, half = (penalties(name, 30.0)["gradient_penalty"] for name in ("float32", precision))
        assert exact > 100.0
        assert half == pytest.approx(exact, rel=1e-2)


def test_several_updates_of_d_have_pictures_of_their_own(small, pictures, train):
    """One step with three updates of two pictures is three steps of two, G waiting for the last."""
    keys = ["dataset.flip=false", "loss.r1_weight=0", "loss.r2_weight=0"]
    many = build_gan(small(*keys, "training.discriminator_updates=3"))
    latents = many.inputs.latents(tf.constant(0, tf.int64)).numpy()
    one = build_gan(small(*keys, "training.global_batch=2", "generator_optimizer.rate=1e-30"))
    for part in range(3):
        own = tf.constant(latents[2 * part : 2 * part + 2])
        one.inputs.latents = lambda step, own=own: own
        train(one, pictures[:1, 2 * part : 2 * part + 2], first=part)
    train(many, pictures[:1])
    assert_close(arrays(one, "discriminator"), arrays(many, "discriminator"), 1e-9)
    assert int(many.generator_optimizer.iterations) == 1
    assert int(many.discriminator_optimizer.iterations) == 3


def test_several_updates_of_d_move_gs_statistics_once(small, pictures, train):
    keys = ["model.generator_norm=batch", "training.discriminator_updates=3"]
    gan = build_gan(small(*keys, "model.generator_norm_momentum=0.5"))
    begun = arrays(gan, "generator/")
    train(gan, pictures[:1])
    moved = arrays(gan, "generator/")
    name = next(name for name in moved if name.endswith("moving_variance"))
    # Half of what it began with is left after one move, an eighth after three.
    assert (moved[name] > 0.49 * begun[name]).all()


def test_several_updates_compiled_and_over_calls(small, pictures, train):
    keys = ["training.discriminator_updates=2", "model.spectral_norm=true"]
    plain, compiled = build_gan(small(*keys)), build_gan(small(*keys), jit=True)
    train(plain, pictures[:3])
    train(compiled, pictures[:3])
    assert_close(arrays(plain, "generator", "ema"), arrays(compiled, "generator", "ema"), 1e-6)
