"""Losses that are no numbers send a run back, then end it; none of its checkpoints holds any."""

import numpy as np

from tests.launch.conftest import EVERY, STEPS, assert_same_bits, open_run, state_at, steps_of
from trainer import config as configs
from trainer.run_folder import read_metrics


def test_it_goes_back_twice_and_ends_with_what_to_try(small, tmp_path):
    run = tmp_path / "run"
    process = small.call("train_poisoned", small.config, run, 2 * EVERY + 1, "discriminator", 3)
    assert process.wait() == 7
    told = process.told()
    assert f"the losses of step {2 * EVERY + 2} are not finite" in told
    assert f"the last good checkpoint is step-{2 * EVERY:09d}" in told
    assert "rates of 1/2 and other pictures and draws (1 of at most 2 times" in told
    assert "rates of 1/4 and other pictures and draws (2 of at most 2 times" in told
    assert "the run went back 2 times for such losses already" in told
    assert f"catgan resume {run} generator_optimizer.rate=" in told
    assert steps_of(run) == [EVERY, 2 * EVERY]
    for step in steps_of(run):
        assert all(np.isfinite(array).all() for array in state_at(run, step).values())
    starts = open_run(run).read_record().starts
    assert [start.first_step for start in starts] == [0, 2 * EVERY, 2 * EVERY]
    assert [start.overrides.get("training.rollbacks") for start in starts] == [None, "1", "2"]
    assert all("not finite" in start.cause for start in starts)


def test_it_goes_on_as_with_half_the_rates_and_another_order(small, unbroken, tmp_path):
    """The same bits as a run that is stopped there and told by hand; stopped again on the way."""
    run = tmp_path / "run"
    process = small.call("train_poisoned", small.config, run, 2 * EVERY + 1, "generator", 1)
    assert process.wait() == 0, process.told()
    by_hand = tmp_path / "by_hand"
    assert small.call("train_until", small.config, by_hand, 2 * EVERY).wait() == 0
    more = ("training.rollbacks=1", f"training.steps={4 * EVERY}")
    small.resume(by_hand, *more).succeed()
    small.resume(by_hand, f"training.steps={STEPS}").succeed()
    assert_same_bits(run, by_hand)
    straight = state_at(unbroken, STEPS)
    assert any(np.any(straight[name] != array) for name, array in state_at(run, STEPS).items())
    rows = read_metrics(open_run(run))
    assert {row["step"] for row in rows if row.get("rollbacks") == 1} == set(
        range(2 * EVERY + 1, STEPS + 1)
    )
    assert configs.from_text(open_run(run).read_config()).training.rollbacks == 1


def test_without_a_checkpoint_it_begins_again(small, tmp_path):
    run = tmp_path / "run"
    process = small.call("train_poisoned", small.config, run, 2, "discriminator", 1)
    assert process.wait() == 0, process.told()
    assert [start.first_step for start in open_run(run).read_record().starts] == [0, 0]
    assert steps_of(run)[-1] == STEPS


def test_the_command_that_began_it_goes_on_with_it(small, tmp_path):
    """The config does not know what the run has counted."""
    run = tmp_path / "run"
    small.call("train_poisoned", small.config, run, 2 * EVERY + 1, "generator", 1).wait()
    process = small.train(run)
    assert process.wait() == 0, process.told()
    assert "nothing to do" in process.told()


def test_it_ends_at_once_where_the_config_says_so(small, tmp_path):
    run, config = tmp_path / "run", tmp_path / "small.yaml"
    text = small.config.read_text().replace("training: {", "training: {max_rollbacks: 0, ")
    config.write_text(text)
    process = small.call("train_poisoned", config, run, EVERY + 1, "discriminator", 1)
    assert process.wait() == 7
    assert len(open_run(run).read_record().starts) == 1
