"""Workers and nodes that die or freeze: the run goes on, with the weights it would have had.

How long a dead node goes unnoticed is decided by the head's health checks, which a person
sets where the cluster is started: RAY_health_check_period_ms (3000), _timeout_ms (10000) and
_failure_threshold (5). A node whose connections break with it is noticed at once; one whose
machine vanishes, after up to a minute. TensorFlow's own heartbeats end its neighbours' steps
before that.
"""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.cluster.driving import (
    EVERY,
    SLOWLY,
    Drive,
    assert_finished,
    assert_same_bits,
    final_state,
    record,
)
from tests.cluster.nodes import Nodes, several
from tests.launch.processes import wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Nodes]:
    with several(1, 1) as nodes:
        yield nodes


def assert_went_on(run, undisturbed, drive, *, lost_at: int) -> None:
    """It was restarted once and ended as if nothing had happened."""
    assert_same_bits(undisturbed, final_state(run))
    assert_finished(run)
    _, second = record(run).starts
    assert second.first_step >= lost_at // EVERY * EVERY
    told = drive.told()
    assert told.count("going on from the newest checkpoint") == 1, told
    assert "from the last step to this one" in told
    assert "Traceback" not in told
    print("\n".join(line for line in told.splitlines() if "from the last step" in line))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_is_replaced(config, undisturbed, tmp_path, two_nodes, rank):
    run = tmp_path / "run"
    words = ("train", str(config), f"run={run}", "--address", two_nodes.address)
    with Drive(tmp_path, *words, program=SLOWLY) as drive:
        drive.wait_for_step(30)
        os.kill(two_nodes.rank(rank).pid, signal.SIGKILL)
        drive.succeed()
        drive.leaves_nothing()
    assert_went_on(run, undisturbed, drive, lost_at=30)
    assert f"rank {rank} on" in record(run).starts[0].cause
    assert "died" in record(run).starts[0].cause


@pytest.mark.parametrize("rank", [0, 1])
def test_a_frozen_worker_is_replaced(config, undisturbed, tmp_path, two_nodes, rank):
    run = tmp_path / "run"
    words = ("train", str(config), f"run={run}", "--address", two_nodes.address)
    with Drive(tmp_path, *words, program=SLOWLY) as drive:
        drive.wait_for_step(30)
        frozen = two_nodes.rank(rank)
        os.kill(frozen.pid, signal.SIGSTOP)
        drive.succeed()
        wait_until(lambda: not psutil.pid_exists(frozen.pid), drive.told, 30)
        drive.leaves_nothing()
    assert_went_on(run, undisturbed, drive, lost_at=30)
    cause = record(run).starts[0].cause
    assert f"rank {rank} on" in cause
    assert "did not answer" in cause or "does not answer" in cause


def test_the_run_goes_on_without_a_killed_node(config, undisturbed, tmp_path):
    run = tmp_path / "run"
    with several(1, 1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words, program=SLOWLY) as drive:
            drive.wait_for_step(30)
            nodes.kill(nodes.of(nodes.rank(1)))
            drive.succeed()
            drive.leaves_nothing()
    assert_went_on(run, undisturbed, drive, lost_at=30)
    assert "rank 1 on" in record(run).starts[0].cause
