"""SIGKILL at random moments: while it imports, builds, trains, writes, publishes."""

import random
import time

import pytest

from tests.launch.conftest import assert_same_bits, open_run, steps_of
from trainer.run_folder import read_metrics

STEPS = 150
FEW, MANY = 4, 50
LONG = [f"training.steps={STEPS}", "checkpoint.every_steps=2", "checkpoint.keep_last=2"]


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """The run without a stop, and how long it took."""
    run = tmp_path_factory.mktemp("kills") / "whole"
    began = time.monotonic()
    small.train(run, *LONG).succeed()
    return run, time.monotonic() - began


def kill_at_random(small, run, secs, dice):
    """Starts the run, or goes on with it, and kills it; says whether it was killed in time."""
    process = small.train(run, *LONG)
    if dice.random() < 0.25:
        time.sleep(dice.uniform(0.0, secs))  # anywhere, most likely before training
    else:
        newest = max(steps_of(run), default=0)
        while process.poll() is None and max(steps_of(run), default=0) <= newest:
            time.sleep(0.01)
        time.sleep(dice.uniform(0.0, 0.3))  # while it writes a checkpoint every other step
    alive = process.poll() is None
    process.kill()
    return alive


def finish_and_compare(small, run, whole):
    small.train(run, *LONG).succeed()
    assert_same_bits(run, whole, STEPS)
    assert [row["step"] for row in read_metrics(open_run(run))] == list(range(1, STEPS + 1))


@pytest.mark.parametrize(
    "kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["a few", "fifty"]
)
def test_killed_at_random_moments(small, whole, tmp_path, kills):
    dice = random.Random(kills)
    reference, secs = whole
    done, runs = 0, 1
    while done < kills:
        run = tmp_path / f"run-{runs}"
        if kill_at_random(small, run, secs, dice):
            done += 1
        else:  # it was finished first: look at it, and go on with another
            finish_and_compare(small, run, reference)
            runs += 1
    finish_and_compare(small, tmp_path / f"run-{runs}", reference)
