"""SIGTERM in a process whose main thread sits in native code, as those of Ray's workers do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import REPOSITORY

# The main thread waits in C, where no handler of Python's gets its turn.
WORKER = """
import ctypes, threading, time
from trainer.launch import termination

termination.listen()
termination.listen()

def watch():
    told = False
    while True:
        if termination.heard() and not told:
            told = True
            print("heard", flush=True)
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
print("ready", flush=True)
libc = ctypes.CDLL(None)
while True:
    libc.sleep(600)
"""


@pytest.fixture
def worker() -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_first_is_heard_and_the_second_ends_the_process(worker):
    worker.send_signal(signal.SIGTERM)
    assert worker.stdout.readline() == "heard\n"
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 128 + signal.SIGTERM


def test_nothing_is_heard_where_nobody_listens():
    from trainer.launch import termination

    assert not termination.heard()
