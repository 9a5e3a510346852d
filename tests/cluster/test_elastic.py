"""Runs with as many workers as there is room for: they grow and shrink, and stay the same run."""

import pytest

from tests.cluster.driving import (
    BATCH,
    EVERY,
    SLOWLY,
    STEPS,
    Drive,
    assert_close,
    assert_finished,
    assert_same_bits,
    final_state,
    record,
    state,
)
from tests.cluster.nodes import several

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

RESIZE_SECS = 3


def words(config, run, nodes, least, most):
    return (
        "train",
        str(config),
        f"run={run}",
        f"cluster.workers=[{least}, {most}]",
        f"cluster.resize_every_secs={RESIZE_SECS}",
        "--address",
        nodes.address,
    )


def next_checkpoint(step: int) -> int:
    """The first one after `step` that every run has, at most 20 steps later."""
    return (step // EVERY + 1) * EVERY


def test_it_grows_when_nodes_come_and_shrinks_when_one_goes(config, undisturbed_run, tmp_path):
    """Two workers, then three, then two again."""
    run = tmp_path / "run"
    with (
        several(1, 1) as nodes,
        Drive(tmp_path, *words(config, run, nodes, 1, 3), program=SLOWLY) as drive,
    ):
        drive.wait_for_step(10)
        third = nodes.add(1)
        drive.wait_for("there is room for 3 workers: stopping 2 for them")
        drive.wait_for("on 3 workers")
        drive.wait_for_step(record(run).starts[-1].first_step + 5)
        [lost] = [rank for rank in range(3) if nodes.of(nodes.rank(rank)) is third]
        nodes.kill(third)
        drive.succeed()
        drive.leaves_nothing()
    starts = record(run).starts
    assert [start.world_size for start in starts] == [2, 3, 2]
    assert starts[0].cause == "there is room for 3 workers"
    # Ray says which rank a node gets, and not before the group has begun.
    assert f"rank {lost} " in starts[1].cause
    assert_finished(run)
    final_state(run)
    for step in range(EVERY, starts[1].first_step + 1, EVERY):
        assert_same_bits(state(run, step), state(undisturbed_run, step))
    changed = next_checkpoint(starts[1].first_step)
    assert changed <= STEPS
    assert_close(state(run, changed), state(undisturbed_run, changed))
    assert "Traceback" not in drive.told()


def test_it_begins_with_what_there_is(config, undisturbed_run, tmp_path):
    run = tmp_path / "run"
    with several(1) as nodes, Drive(tmp_path, *words(config, run, nodes, 1, 3)) as drive:
        drive.succeed()
        drive.leaves_nothing()
    assert [start.world_size for start in record(run).starts] == [1]
    assert_finished(run)
    final_state(run)
    assert_close(state(run, EVERY), state(undisturbed_run, EVERY))


def test_more_workers_than_lanes_are_refused_early(config, tmp_path):
    run = tmp_path / "run"
    most = BATCH + 1
    with Drive(tmp_path, "train", str(config), f"run={run}", f"cluster.workers=[1, {most}]") as one:
        assert one.wait() == 2
    assert f"cluster.workers={most} is more than" in one.told()
    free = ("dataset.lanes=0", "training.global_batch=17", "cluster.workers=[1, 5]")
    with Drive(tmp_path, "train", str(config), f"run={run}", *free) as two:
        assert two.wait() == 2
    assert "5 workers cannot share" in two.told()
    assert not run.exists()
