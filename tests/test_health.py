"""Signs that a run goes wrong: each by hand, each provoked, none in the shipped config."""

import functools
import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.callbacks import tiny_run
from tests.callbacks.test_evaluating import found
from trainer import config as configs
from trainer import health
from trainer.callbacks import portrait
from trainer.callbacks.health_watch import HealthWatch, kernel_rms, loss_of_a_guess
from trainer.data.drawn import draw_cat
from trainer.gan.build import build_gan
from trainer.gan.loss_scale import LEAST
from trainer.gan.losses import build_loss
from trainer.launch import door
from trainer.run_folder import read_metrics

SMOOTH = ["loss.name=non_saturating", "loss.label_smoothing=0.1"]
SIGNS = ("D's loss", "the weights of", "the pictures of the fixed latents", "the distance is")


wins = functools.partial(health.discriminator_wins, of_pairs=False)


def test_a_discriminator_that_wins():
    assert wins([0.05] * 9, 0.7, 3.0) is None  # too few rows to say
    assert wins([0.05] * 19 + [float("nan")], 0.7, 3.0) is None
    assert wins([0.08] * 10, 0.7, 3.0) is None
    found = wins([0.06] * 10, 0.7, 3.25)
    assert "8.6%" in found.saw
    assert "3.25" in found.saw
    assert wins([-50.0] * 10, 0.0, 3.0) is None  # Wasserstein has no guess


@pytest.mark.parametrize(
    ("loss", "guess"),
    [
        ("non_saturating", 2 * np.log(2)),
        ("hinge", 2.0),
        ("least_squares", 0.25),
        ("wasserstein", 0.0),
        ("relativistic_average", 2.0),
        ("relativistic_pairing", np.log(2)),
    ],
)
def test_the_loss_of_a_guess(loss, guess):
    config = configs.from_text("", [f"loss.name={loss}"])
    assert loss_of_a_guess(build_loss(config.loss)) == pytest.approx(guess)


def test_of_a_relative_loss_the_margin_is_judged(tmp_path, caplog):
    """A few pairs the wrong way round hold the loss up, D having won of all others."""
    watch = HealthWatch(tiny_run.tiny_config(tmp_path))
    for margin in [1.0] * health.WINDOW + [4.0] * health.WINDOW:
        watch.row({"d_loss": 0.3, "d_real_logit": margin - 9.0, "d_fake_logit": -9.0})
    assert [text[: len(SIGNS[0])] for text in told_by(caplog.records)] == [SIGNS[0]]


def test_the_least_loss_with_smooth_labels_is_that_of_the_best_logit():
    """D's loss is judged above it: 10 % of a guess's whole loss could never be reached."""
    loss = build_loss(configs.from_text("", SMOOTH).loss)
    logits = tf.reshape(tf.linspace(tf.constant(-9.0, tf.float64), 9.0, 100_001), [-1, 1])
    real, _ = loss.discriminator(logits, logits, lambda rows: rows)
    assert loss.least == pytest.approx(float(tf.reduce_min(real)), abs=1e-8)
    assert build_loss(configs.from_text("", SMOOTH[:1]).loss).least == 0


def test_a_discriminator_that_wins_with_smooth_labels(tmp_path, caplog):
    """Sure of every picture, as far as its labels let it be."""
    config = tiny_run.tiny_config(tmp_path, *SMOOTH)
    watch, least = HealthWatch(config), build_loss(config.loss).least
    for d_loss in [least + 0.2] * health.WINDOW + [least + 0.05] * health.WINDOW:
        watch.row({"d_loss": d_loss, "d_real_logit": 2.2, "d_fake_logit": -9.0})
    assert [text[: len(SIGNS[0])] for text in told_by(caplog.records)] == [SIGNS[0]]


def test_weights_that_explode():
    assert health.exploding({"a": 0.3, "b": 9.9}) is None
    found = health.exploding({"a": 0.3, "b": 12.0, "c": float("nan")})
    assert "2 layers" in found.saw


def test_kernels_that_are_divided_by_their_size_are_not_judged(tmp_path):
    gans = [
        build_gan(tiny_run.tiny_config(tmp_path, f"model.spectral_norm={value}"))
        for value in ("false", "true")
    ]
    all_layers, fewer = (kernel_rms(gan).keys() for gan in gans)
    judged = {layer.name for layer in gans[0].discriminator.layers} & all_layers
    assert judged
    assert fewer == all_layers - judged


def rows_of(count, scale=1.0, seed=0):
    return scale * np.random.default_rng(seed).standard_normal((count, 5)).astype(np.float32)


def test_the_spread_is_the_mean_distance_of_pairs():
    rows = rows_of(7)
    squares = [np.sum(np.square(rows[i] - rows[j])) for i in range(7) for j in range(7) if i != j]
    assert health.spread(rows) == pytest.approx(np.sqrt(np.mean(squares)))
    assert health.spread(np.repeat(rows[:1], 5, axis=0)) < 1e-12


def test_a_collapse():
    real, alike = rows_of(64), rows_of(64, 0.03, 1)
    assert health.collapsed(alike, real, 49_999) is None  # all are alike in the beginning
    assert health.collapsed(rows_of(64, 0.4, 1), real, 60_000) is None
    assert "3% as much" in health.collapsed(alike, real, 60_000).saw
    assert health.collapsed(np.full((9, 5), np.nan), real, 60_000) is None


def test_a_distance_that_grows_beyond_its_errors_twice():
    best, risen = (10, 0.10, 0.01), (20, 0.15, 0.01)
    assert health.worse([best, risen]) is None
    assert health.worse([best, risen, (30, 0.12, 0.01)]) is None
    found = health.worse([(5, 0.3, 0.01), best, risen, (30, 0.16, 0.01)])
    assert "step-000000010" in found.try_this


def test_a_sign_is_told_once_while_it_lasts():
    told, sign = health.Told(), health.exploding({"a": 20.0})
    assert told.news("x", sign) is sign
    assert told.news("x", sign) is None
    assert told.news("x", None) is None
    assert told.news("x", sign) is sign


def told_by(records):
    return [r.getMessage() for r in records if r.levelno == logging.WARNING]


def test_a_much_quicker_discriminator_is_told(tmp_path, caplog):
    """On noise that it knows by heart, against a generator that hardly learns."""
    keys = ["generator_optimizer.rate=1e-6", "discriminator_optimizer.rate=1e-2"]
    calm = [
        "loss.r1_weight=0",
        "loss.r2_weight=0",
        "model.base_channels=8",
        "metrics.every_steps=5",
    ]
    rare = ["training.steps=150", "checkpoint.every_steps=150", "metrics.every_steps=5"]
    tiny_run.train(tmp_path, *keys, *calm, *rare)
    told = [text for text in told_by(caplog.records) if text.startswith(SIGNS[0])]
    assert len(told) == 1
    assert "loss.r1_weight" in told[0]


def test_large_weights_are_told_and_stand_in_the_rows(tmp_path, caplog):
    keys = ["generator_optimizer.rate=5", "discriminator_optimizer.rate=1e-4"]
    run = tiny_run.train(tmp_path, *keys)
    told = [text for text in told_by(caplog.records) if text.startswith(SIGNS[1])]
    assert len(told) == 1
    assert read_metrics(run.folder)[-1]["largest_weight_rms"] > health.LARGE_RMS


def test_one_repeated_picture_is_told(tmp_path, caplog):
    """A run that seems to have seen enough, whose pictures are all one, as its D sees them."""
    cats = np.stack([draw_cat(number, 0, 32)[0] for number in range(16)])
    config = tiny_run.tiny_config(tmp_path)
    watch, eye = HealthWatch(config), portrait.Eye(build_gan(config).discriminator, 1.0)
    late = health.COLLAPSE_AFTER_IMAGES // config.training.global_batch
    one, many = (eye.sees(pictures).features for pictures in (np.repeat(cats[:1], 16, 0), cats))
    watch.features(late, many[:8], many[8:])
    watch.features(late, one, one[:0])  # real ones have not been read yet
    assert not told_by(caplog.records)
    watch.features(late, one, many)
    assert told_by(caplog.records)[0].startswith(SIGNS[2])


def test_d_is_asked_for_its_features_and_its_logits(tmp_path):
    discriminator = build_gan(tiny_run.tiny_config(tmp_path)).discriminator
    cats = np.stack([draw_cat(number, 0, 32)[0] for number in range(70)])
    seen = portrait.Eye(discriminator, 1.0).sees(cats)
    expected = discriminator(cats[:64] / np.float32(127.5) - 1.0, training=False)
    np.testing.assert_allclose(seen.logits[:64], np.ravel(expected), rtol=1e-5, atol=1e-6)
    assert len(seen.logits) == len(seen.features) == 70
    last = discriminator.layers[-1]
    np.testing.assert_allclose(
        np.ravel(seen.features @ np.asarray(last.kernel) + np.asarray(last.bias)),
        seen.logits,
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_distance_that_grows_is_told(tmp_path, caplog):
    """Of measurements alike: one with another network is no step of the curve."""
    watch = HealthWatch(tiny_run.tiny_config(tmp_path))
    curve = [(10, found(0.1)), (20, found(0.9, "other")), (30, found(0.2)), (40, found(0.21))]
    for length in range(1, len(curve) + 1):
        watch.measured([{"step": step, **one} for step, one in curve[:length]])
        assert len(told_by(caplog.records)) == (length == len(curve))
    assert told_by(caplog.records)[0].startswith(SIGNS[3])


def test_a_short_run_is_told_nothing(tmp_path, caplog):
    """With rows enough to be judged by."""
    run = tiny_run.train(tmp_path, "metrics.every_steps=1")
    assert len(read_metrics(run.folder)) > health.WINDOW
    assert not [text for text in told_by(caplog.records) if text.startswith(SIGNS)]


@pytest.mark.slow
def test_the_shipped_run_is_told_nothing(tmp_path, caplog):
    """To its end: all its grids are judged, and ten times as many rows as are looked at."""
    shipped = Path(__file__).parents[1] / "configs" / "debug.yaml"
    places = [f"run={tmp_path / 'run'}", f"dataset.address={tmp_path / 'data'}"]
    config = configs.load(shipped, places)
    assert config.training.images > health.COLLAPSE_AFTER_IMAGES
    door.train(config)
    assert len(read_metrics(tiny_run.run_folder(tmp_path))) > 10 * health.WINDOW
    assert not [text for text in told_by(caplog.records) if text.startswith(SIGNS)]


def test_a_loss_scale_at_its_floor_is_told(tmp_path, caplog):
    assert health.skipping({}, LEAST) is None
    assert health.skipping({"g": 2 * LEAST, "d": 2.0**15}, LEAST) is None
    keys = ["precision=float16", "loss.r1_weight=1e6", "loss.penalty_every_steps=1"]
    run = tiny_run.train(tmp_path, *keys, "training.steps=30", "metrics.every_steps=5")
    told = [text for text in told_by(caplog.records) if text.startswith("the loss scale of")]
    assert len(told) == 1
    assert "bfloat16" in told[0]
    row = read_metrics(run.folder)[-1]
    assert row["d_loss_scale"] == LEAST
    assert row["g_loss_scale"] > LEAST


def test_of_the_average_loss_the_loss_itself_is_judged(tmp_path, caplog):
    """Its mean margin says too little: answers that differ within a class hold the loss up."""
    watch = HealthWatch(tiny_run.tiny_config(tmp_path, "loss.name=relativistic_average"))
    for d_loss in [0.5] * health.WINDOW + [0.1] * health.WINDOW:
        watch.row({"d_loss": d_loss, "d_real_logit": 0.5, "d_fake_logit": -0.5})
    (told,) = told_by(caplog.records)
    assert told.startswith("D's loss is 9.0%")  # (2 * 0.5 + 8 * 0.1) / 10 of 2
