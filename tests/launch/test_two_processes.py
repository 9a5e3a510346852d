"""Two processes on one run: one trains, the other is told; a dead one is taken over from.

That a fenced one is told so even where all its steps are there already: `tests/test_worker.py`.
"""

import contextlib
import fcntl
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.launch.conftest import EVERY, STEPS, assert_same_bits, open_run, steps_of
from tests.launch.processes import wait_until
from trainer import checkpoint
from trainer.run_folder import names, read_metrics

STEP = EVERY + 2


@pytest.fixture(params=["disk", "bucket"])
def run(request, tmp_path):
    if request.param == "bucket":
        return f"{request.getfixturevalue('bucket').address}/run"
    return tmp_path / "run"


def trains_and_waits(small, run, gate, config=None):
    """A process that trains, publishes step EVERY and stands after STEP until `gate` is there."""
    process = small.call("train_and_wait", config or small.config, run, STEP, gate)
    process.wait_for(f"waits after step {STEP}")
    wait_until(lambda: steps_of(run) == [EVERY], process.told)  # it is written behind the training
    wait_until(lambda: at_rest(run), process.told)
    return process


def at_rest(run):
    """Whether the grid of the checkpoint is written and no folder locked: frozen, a lock stays."""
    told = json.loads(open_run(run).folder.read(names.ANSWERS))
    for folder in Path(run).glob("**/"):
        with contextlib.ExitStack() as stack:
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return told["step"] == EVERY


def assert_whole(run):
    """Finished once: every checkpoint proved, each step in the metrics once, nobody holds it."""
    record = open_run(run).read_record()
    assert (record.status, record.step, record.holder) == ("finished", STEPS, None)
    assert [row["step"] for row in read_metrics(open_run(run))] == list(range(1, STEPS + 1))
    for item in checkpoint.list_all(open_run(run)):
        assert item.counts, item
        assert checkpoint.open_step(open_run(run), item.step).load()


def test_the_second_is_told_who_trains_and_leaves_it_alone(small, unbroken, run, tmp_path):
    gate = tmp_path / "gate"
    first = trains_and_waits(small, run, gate)
    for second in (small.train(run), small.resume(run)):
        assert second.wait() == 6
        assert f"{run} is being trained by start 1 on" in second.told()
        assert f"(pid {first.pid}), since 20" in second.told()
        assert "last sign of life" in second.told()
        assert f"kill {first.pid}" in second.told()
    gate.touch()
    first.succeed()
    assert len(open_run(run).read_record().starts) == 1
    assert_whole(run)
    assert_same_bits(run, unbroken)


def test_a_killed_one_is_taken_over_from_without_waiting(small, unbroken, tmp_path):
    run = tmp_path / "run"
    trains_and_waits(small, run, tmp_path / "never").kill()
    assert open_run(run).read_record().holder is not None
    second = small.train(run).succeed()
    assert "Waiting" not in second.told()
    assert_whole(run)
    assert_same_bits(run, unbroken)


def test_a_frozen_one_is_taken_over_from_and_finds_itself_fenced_out(
    small, unbroken, run, tmp_path, monkeypatch
):
    monkeypatch.setenv("CATGAN_LEASE_SECS", "2")
    gate = tmp_path / "gate"
    first = trains_and_waits(small, run, gate)
    first.send(signal.SIGSTOP)
    second = small.train(run).succeed()
    assert f"{run} is held by" in second.told()
    assert re.search(rf"taken over from .* \(pid {first.pid}\), since 20", second.told())
    assert open_run(run).read_record().starts[-1].first_step == EVERY
    gate.touch()
    first.send(signal.SIGCONT)
    assert first.wait() == 5
    assert "start 1 on" in first.told()
    assert "lost this run: start 2 on" in first.told()
    assert "let the later start go on" in first.told()
    assert steps_of(run)[-1] == STEPS
    assert_whole(run)
    assert_same_bits(run, unbroken)


def test_a_frozen_one_stops_though_nobody_has_begun_a_start_yet(
    small, unbroken, tmp_path, monkeypatch
):
    """Its last checkpoint still counts: the one that took over goes on from there."""
    monkeypatch.setenv("CATGAN_LEASE_SECS", "2")
    run, gate = tmp_path / "run", tmp_path / "gate"
    first = trains_and_waits(small, run, gate)
    first.send(signal.SIGSTOP)
    second_gate = tmp_path / "second"
    other = small.call("take_and_wait", run, second_gate)
    other.wait_for("took the run")
    first.send(signal.SIGCONT)
    first.wait_for("is no longer ours")
    gate.touch()
    assert first.wait() == 5
    assert f"stopping after step {STEP}: pid {other.pid} on" in first.told()
    assert f"this process lost the run {run}: pid {other.pid} on" in first.told()
    assert steps_of(run)[-1] == STEP
    assert open_run(run).read_record().holder.pid == other.pid
    second_gate.touch()
    other.succeed()
    small.resume(run).succeed()
    assert_whole(run)
    assert_same_bits(run, unbroken)


def test_of_two_that_begin_a_run_at_once_one_trains(small, unbroken, run, tmp_path):
    gate = tmp_path / "gate"
    both = [small.call("train_and_wait", small.config, run, STEP, gate) for _ in range(2)]
    wait_until(lambda: any(process.poll() is not None for process in both))
    loser, winner = sorted(both, key=lambda process: process.poll() is None)
    assert loser.poll() == 6, loser.told()
    assert f"{run} is being trained by start 1 on" in loser.told()
    assert f"(pid {winner.pid})" in loser.told()
    gate.touch()
    winner.succeed()
    assert len(open_run(run).read_record().starts) == 1
    assert_whole(run)
    assert_same_bits(run, unbroken)
