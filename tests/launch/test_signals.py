"""Ctrl-C and SIGTERM on the whole program."""

import re
import signal

import pytest

from tests.launch.conftest import assert_same_bits, open_run, steps_of

STEP = 9


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_publishes_and_tells_how_to_go_on(small, unbroken, tmp_path, number, code, word):
    run, gate = tmp_path / "run", tmp_path / "gate"
    process = small.call("train_and_wait", small.config, run, STEP, gate)
    process.wait_for(f"waits after step {STEP}")
    process.send(number)
    process.wait_for("once more exits at once")
    gate.touch()
    assert process.wait() == code
    assert f"{word} after step {STEP}; its checkpoint is published" in process.told()
    assert f"catgan resume {run}" in process.told()
    assert steps_of(run)[-1] == STEP
    record = open_run(run).read_record()
    assert (record.status, record.step) == ("stopped", STEP)
    if number == signal.SIGTERM:
        told = re.search(r"catgan (resume .*)", process.told())
        small.server.catgan(*told[1].split()).succeed()
        assert_same_bits(run, unbroken)


def test_a_second_signal_exits_at_once(small, tmp_path):
    run = tmp_path / "run"
    process = small.call("train_and_wait", small.config, run, STEP, tmp_path / "never")
    process.wait_for(f"waits after step {STEP}")
    process.send(signal.SIGINT)
    process.wait_for("once more exits at once")
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert steps_of(run)[-1] < STEP
