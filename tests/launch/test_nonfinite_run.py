"""Losses that are no numbers end a run; none of its checkpoints holds any."""

import numpy as np

from tests.launch.conftest import EVERY, open_run, state_at, steps_of


def test_the_step_and_the_last_good_checkpoint_are_named(small, tmp_path):
    run = tmp_path / "run"
    process = small.call("train_poisoned", small.config, run, 2 * EVERY + 1, "discriminator")
    assert process.wait() == 7
    told = process.told()
    assert f"the losses of step {2 * EVERY + 2} are not finite" in told
    assert f"the last good checkpoint is step-{2 * EVERY:09d}" in told
    assert f"catgan resume {run} generator_optimizer.rate=" in told
    assert steps_of(run) == [EVERY, 2 * EVERY]
    for step in steps_of(run):
        assert all(np.isfinite(array).all() for array in state_at(run, step).values())
    record = open_run(run).read_record()
    assert record.status == "failed"
    assert "not finite" in record.starts[-1].cause
