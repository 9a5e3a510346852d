"""Signs that a run goes wrong: each by hand, each provoked for real, none in the shipped config."""

import logging

import numpy as np
import pytest

from tests.callbacks import tiny_run
from trainer import config as configs
from trainer import health
from trainer.callbacks.health_watch import loss_of_a_guess
from trainer.data.drawn import draw_cat

SIGNS = ("D's loss is", "the weights of", "the pictures of the fixed latents", "the distance is")


def test_a_discriminator_that_wins():
    assert health.discriminator_wins([0.05] * 9, 0.7, 3.0) is None  # too few rows to say
    assert health.discriminator_wins([0.05] * 19 + [float("nan")], 0.7, 3.0) is None
    assert health.discriminator_wins([0.08] * 10, 0.7, 3.0) is None
    found = health.discriminator_wins([0.06] * 10, 0.7, 3.25)
    assert "8.6%" in found.saw
    assert "3.25" in found.saw
    assert health.discriminator_wins([-50.0] * 10, 0.0, 3.0) is None  # Wasserstein has no guess


@pytest.mark.parametrize(
    ("loss", "guess"),
    [
        ("non_saturating", 2 * np.log(2)),
        ("hinge", 2.0),
        ("least_squares", 0.5),
        ("wasserstein", 0.0),
        ("relativistic_average", 2.0),
        ("relativistic_pairing", np.log(2)),
    ],
)
def test_the_loss_of_a_guess(loss, guess):
    assert loss_of_a_guess(configs.from_text("", [f"loss.name={loss}"])) == pytest.approx(guess)


def test_weights_that_explode():
    assert health.exploding({"a": 0.3, "b": 9.9}) is None
    found = health.exploding({"a": 0.3, "b": 12.0, "c": float("nan")})
    assert "2 layers" in found.saw


def test_the_spread_is_the_mean_distance_of_pairs():
    pictures = np.stack([draw_cat(number, 0, 32)[0] for number in range(7)])
    small = pictures.reshape(7, 8, 4, 8, 4, 3).mean(axis=(2, 4)) / 255
    squares = [
        np.mean(np.square(small[i] - small[j])) for i in range(7) for j in range(7) if i != j
    ]
    assert health.spread(pictures) == pytest.approx(np.sqrt(np.mean(squares)))
    assert health.spread(np.repeat(pictures[:1], 5, axis=0)) < 1e-12


def test_a_collapse():
    assert health.collapsed(0.01, 0.3, 49_999) is None  # all are alike in the beginning
    assert health.collapsed(0.08, 0.3, 60_000) is None
    assert "3% as much" in health.collapsed(0.01, 0.3, 60_000).saw


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
    from trainer.run_folder import read_metrics

    keys = ["generator_optimizer.rate=5", "discriminator_optimizer.rate=1e-4"]
    run = tiny_run.train(tmp_path, *keys)
    told = [text for text in told_by(caplog.records) if text.startswith(SIGNS[1])]
    assert len(told) == 1
    assert read_metrics(run.folder)[-1]["largest_weight_rms"] > health.LARGE_RMS


def test_one_repeated_picture_is_told(tmp_path, caplog):
    """A run that seems to have seen enough, whose pictures are all one."""
    from trainer.callbacks.health_watch import HealthWatch

    cats = np.stack([draw_cat(number, 0, 32)[0] for number in range(16)])
    config = tiny_run.tiny_config(tmp_path)
    watch = HealthWatch(config, lambda count: cats[:count])
    late = health.COLLAPSE_AFTER_IMAGES // config.training.global_batch
    watch.pictures(late, cats)
    assert not told_by(caplog.records)
    watch.pictures(late, np.repeat(cats[:1], 16, axis=0))
    assert told_by(caplog.records)[0].startswith(SIGNS[2])


def test_a_healthy_run_is_told_nothing(tmp_path, caplog):
    tiny_run.train(tmp_path)
    assert not [text for text in told_by(caplog.records) if text.startswith(SIGNS)]
