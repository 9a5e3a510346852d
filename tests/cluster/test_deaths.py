"""Workers, nodes and drivers that die: the run goes on, with the weights it would have had."""

import os
import signal

import pytest

from tests.cluster.driving import STEPS, Drive, assert_same_bits, final_state, record
from tests.cluster.nodes import several

pytestmark = pytest.mark.cluster


def test_a_killed_worker_is_replaced(config, undisturbed, tmp_path):
    run = tmp_path / "run"
    with several(1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words) as drive:
            drive.wait_for_step(30)
            os.kill(nodes.workers()[1].pid, signal.SIGKILL)
            drive.succeed()
    assert_same_bits(undisturbed, final_state(run))
    found = record(run)
    assert found.status == "finished"
    assert found.step == STEPS
    first, second = found.starts
    assert "died" in first.cause
    assert second.first_step >= 20
    assert "warning" in drive.told()
    assert "Traceback" not in drive.told()
