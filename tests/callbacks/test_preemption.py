"""Signals and time limits, with real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.callbacks import tiny_run
from tests.conftest import REPOSITORY
from trainer import checkpoint
from trainer.callbacks.stop_requests import StopRequests
from trainer.errors import InterruptedRun

SECS = 120


@contextlib.contextmanager
def process(folder, mode="trains"):
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.callbacks.stopping_process", folder, mode],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    watchdog = threading.Timer(SECS, child.kill)
    watchdog.start()
    try:
        yield child
    finally:
        watchdog.cancel()
        child.kill()
        child.communicate()


def wait_for(child, word):
    for line in child.stdout:
        if line.strip() == word:
            return
    pytest.fail(f"{word!r} never came: {child.stderr.read()}")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_with_a_published_checkpoint(tmp_path, number, code):
    with process(tmp_path) as child:
        wait_for(child, "training")
        child.send_signal(number)
        _, told = child.communicate(timeout=SECS)
    assert child.returncode == code, told
    assert "once more exits at once" in told
    newest = checkpoint.find_newest(tiny_run.run_folder(tmp_path))
    assert newest is not None
    assert f"after step {newest.step:,}" in told
    assert f"catgan resume {tmp_path / 'run'}" in told


def test_a_second_signal_exits_at_once_even_from_native_code(tmp_path):
    with process(tmp_path, "blocks") as child:
        wait_for(child, "training")
        child.send_signal(signal.SIGINT)
        for line in child.stderr:
            if "once more exits at once" in line:
                break
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=SECS) == 130


def test_before_training_one_signal_is_enough(tmp_path):
    with process(tmp_path, "early") as child:
        wait_for(child, "caught")
        child.send_signal(signal.SIGTERM)
        _, told = child.communicate(timeout=SECS)
    assert child.returncode == 143
    assert "before training began" in told


def test_a_time_limit_ends_well_with_a_checkpoint(tmp_path):
    limits = ["training.steps=1000000", "training.max_mins=0.01"]
    outcome = tiny_run.train(tmp_path, *limits).outcome
    assert outcome.status == "stopped"
    assert "training.max_mins" in outcome.cause
    run = tiny_run.run_folder(tmp_path)
    assert checkpoint.find_newest(run).step == outcome.step
    assert run.read_record().status == "stopped"


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequests():
        assert signal.getsignal(signal.SIGINT) != before[0]
        with pytest.raises(InterruptedRun):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert not any(thread.name == "signals" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("step", "instead", "said"),
    [
        (12, "", "interrupted after step 12; its checkpoint is published"),
        (0, "", "interrupted before the first step was done"),
        (7, "rank 1 died", "interrupted after step 7, without a checkpoint of it: rank 1 died"),
    ],
)
def test_the_end_is_told_as_it_was(step, instead, said):
    with StopRequests() as requests:
        requests.raise_if_signalled(step, "catgan resume run", instead=instead)
        requests.training_begins()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(InterruptedRun) as told:
            requests.raise_if_signalled(step, "catgan resume run", instead=instead)
    assert told.value.what == said
    assert "catgan resume run" in told.value.remedy


def test_anybody_may_ask_for_a_stop():
    reasons = iter(["", "the node is drained", ""])
    requests = StopRequests(should_stop=lambda: next(reasons), catch_signals=False)
    requests.training_begins()
    assert [requests.cause() for _ in range(3)] == [
        "",
        "the node is drained",
        "the node is drained",
    ]
