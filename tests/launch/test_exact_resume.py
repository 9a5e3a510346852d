"""The central promise: stopping and resuming equals never stopping, bit for bit."""

import pytest

from tests.launch.conftest import EVERY, STEPS, assert_same_bits, open_run, state_at, steps_of
from trainer.launch import scratch
from trainer.run_folder import read_metrics

RECIPES = {
    "batch norm, three steps a call, plain loss": (
        "model.generator_norm=batch",
        "model.discriminator_norm=batch",
        "training.steps_per_call=3",
        "loss.name=non_saturating",
        "loss.label_smoothing=0.1",
        "loss.r1_weight=0",
        "loss.r2_weight=0",
    ),
    "two updates of D, spectral, adaptive augmentation": (
        "training.discriminator_updates=2",
        "model.spectral_norm=true",
        "loss.name=non_saturating",
        "augment.kinds=[colour, translation]",
        "augment.strength=adaptive",
        "augment.adaptive_every_steps=3",
        "augment.adaptive_images=200",
    ),
    "micro batch, simultaneous, lazy penalty": (
        "training.micro_batch=3",
        "training.update=simultaneous",
        "loss.penalty_every_steps=4",
    ),
}


def stop_at(small, run, step, *overrides):
    """Trains up to a step in one process; its end is a stop, not the run's."""
    small.call("train_until", small.config, run, step, *overrides).succeed()


def assert_each_step_once(run, steps=STEPS):
    assert [row["step"] for row in read_metrics(open_run(run))] == list(range(1, steps + 1))


def test_stop_and_resume(small, unbroken, tmp_path):
    run, step = tmp_path / "run", 2 * EVERY + 1
    stop_at(small, run, step)
    assert steps_of(run)[-1] == step
    small.resume(run).succeed()
    assert_same_bits(run, unbroken)
    assert_each_step_once(run)


@pytest.mark.parametrize("recipe", RECIPES)
def test_with_another_recipe(small, tmp_path, recipe):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole_process = small.train(whole, *RECIPES[recipe])
    stop_at(small, broken, 10, *RECIPES[recipe])
    small.resume(broken).succeed()
    whole_process.succeed()
    assert_same_bits(whole, broken)
    assert any(not (a == 0).all() for a in state_at(whole).values())


def test_in_a_bucket(small, unbroken, bucket):
    run = f"{bucket.address}/runs/small"
    stop_at(small, run, 10)
    small.resume(run).succeed()
    assert_same_bits(run, unbroken)
    assert_each_step_once(run)


def test_killed_between_the_parts_and_the_manifest(small, unbroken, tmp_path):
    run = tmp_path / "run"
    assert small.call("train_cut", small.config, run, 3 * EVERY).wait() == -9
    assert (run / "checkpoints" / f"step-{3 * EVERY:09d}").is_dir()
    assert steps_of(run) == [EVERY, 2 * EVERY]
    small.train(run).succeed()
    assert open_run(run).read_record().starts[-1].first_step == 2 * EVERY
    assert_same_bits(run, unbroken)
    assert_each_step_once(run)


def test_moved_and_resumed_from_the_address_alone(small, unbroken, tmp_path, bucket):
    """To a bucket, the data set with it."""
    run, moved = tmp_path / "run", f"{bucket.address}/elsewhere/run"
    pictures = f"{bucket.address}/pictures"
    stop_at(small, run, 10)
    scratch.copy_all(open_run(run).folder, open_run(moved).folder)
    scratch.copy_all(open_run(small.dataset).folder, open_run(pictures).folder)
    cache = f"dataset.cache_dir={tmp_path / 'cache'}"
    small.resume(moved, f"dataset.address={pictures}", cache).succeed()
    assert_same_bits(moved, unbroken)
    record = open_run(moved).read_record()
    assert record.dataset.address == pictures
    assert record.starts[-1].first_step == 10
    assert open_run(run).read_record().starts[-1].number == 1
