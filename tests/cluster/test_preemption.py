"""Machines that are taken back: a checkpoint comes first, and the run goes on elsewhere."""

import signal
import socket
import time

import pytest
from ray._raylet import GcsClient

from tests.cluster.driving import (
    EVERY,
    SLOWLY,
    Drive,
    assert_finished,
    assert_same_bits,
    checkpoints,
    final_state,
    record,
)
from tests.cluster.nodes import quietly, several
from tests.launch.processes import wait_until

pytestmark = pytest.mark.cluster

PREEMPTION = 2  # autoscaler.proto, DrainNodeReason
GRACE_SECS = 30


def drain(nodes, node) -> None:
    deadline_ms = int((time.time() + GRACE_SECS) * 1000)
    accepted, complaint = GcsClient(address=nodes.address).drain_node(
        node.node_id, PREEMPTION, "taken back", deadline_ms
    )
    assert accepted, complaint


def starts(run) -> list:
    return record(run).starts if (run / "run.json").exists() else []


@pytest.mark.parametrize("rank", [0, 1])
def test_a_drained_node_is_left_with_a_checkpoint(config, undisturbed, tmp_path, rank):
    """One failure would be one too many: it is not counted as one."""
    run = tmp_path / "run"
    with several(1, 1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words, "cluster.max_failures=0", program=SLOWLY) as drive:
            drive.wait_for_step(30)
            worker = nodes.rank(rank)
            drain(nodes, nodes.of(worker))
            wait_until(lambda: len(starts(run)) == 2, drive.told, GRACE_SECS)
            drive.succeed()
            drive.leaves_nothing()
    assert_same_bits(undisturbed, final_state(run))
    assert_finished(run)
    first, second = starts(run)
    assert first.cause == f"the node of rank {rank} is being taken back"
    # Whatever step it was: it was published for this.
    assert second.first_step in checkpoints(run)
    assert second.first_step % EVERY or second.first_step >= 30
    assert "Traceback" not in drive.told()


def test_a_worker_that_is_told_to_terminate_publishes_first(config, undisturbed, tmp_path):
    """As a batch system does, or a machine that is shut down."""
    run = tmp_path / "run"
    with several(1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words, "cluster.max_failures=0", program=SLOWLY) as drive:
            drive.wait_for_step(30)
            nodes.rank(1).send_signal(signal.SIGTERM)
            drive.succeed()
            drive.leaves_nothing()
    assert_same_bits(undisturbed, final_state(run))
    assert_finished(run)
    first, second = starts(run)
    assert first.cause == f"rank 1 on {socket.gethostname()} was told to terminate"
    assert second.first_step >= 30
    assert second.first_step % EVERY


def test_everything_is_told_to_terminate(config, undisturbed, tmp_path):
    """Driver, workers and Ray's own actors at once: what is left can be resumed."""
    run = tmp_path / "run"
    with several(1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words, program=SLOWLY) as drive:
            drive.wait_for_step(30)
            for process in drive.processes():
                quietly(process, signal.SIGTERM)
            assert drive.wait() == 143, drive.told()
            drive.leaves_nothing()
            assert "Traceback" not in drive.told()
            assert "catgan resume" in drive.told()
        assert max(checkpoints(run)) >= EVERY
        print(drive.told())
        again = ("resume", str(run), "--address", nodes.address)
        with Drive(tmp_path, *again) as drive:
            drive.succeed()
            drive.leaves_nothing()
    assert_same_bits(undisturbed, final_state(run))
    assert_finished(run)
