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
    while True:
        if termination.heard():
            print("heard", flush=True)
            termination._heard = False
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
print("ready", flush=True)
libc = ctypes.CDLL(None)
while True:
    libc.sleep(600)
"""


# As TensorFlow's server does, in another thread.
TAKEN = """
def take():
    libc = ctypes.CDLL(None)
    libc.signal(15, ctypes.cast(libc.abs, ctypes.c_void_p))
    termination.listen_again()

taking = threading.Thread(target=take)
taking.start()
taking.join()
print("ready", flush=True)
"""


@pytest.fixture
def worker() -> Iterator[subprocess.Popen]:
    yield from started(WORKER)


@pytest.fixture
def worker_after_tensorflow() -> Iterator[subprocess.Popen]:
    yield from started(WORKER.replace('print("ready", flush=True)', TAKEN))


def started(program: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_is_heard_and_ends_nothing(worker):
    for _ in range(2):
        worker.send_signal(signal.SIGTERM)
        assert worker.stdout.readline() == "heard\n"
        assert worker.poll() is None


def test_it_is_taken_back_from_native_code(worker_after_tensorflow):
    worker_after_tensorflow.send_signal(signal.SIGTERM)
    assert worker_after_tensorflow.stdout.readline() == "heard\n"


def test_nothing_is_heard_where_nobody_listens():
    from trainer.launch import termination

    assert not termination.heard()
