"""Fixtures that every part of the suite uses."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before TensorFlow is imported by any test: its own log lines hide ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

# A shell starts what runs behind it with Ctrl-C ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.fakes.fixtures"]

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURES = Path(os.environ.get("CATGAN_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
"""Real pictures, which are no part of the repository."""
SHARED = PICTURES.parent
"""What tests of `infra/` hold their files against lies in folders beside the pictures."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures; tests that want them skip without."""
    if not PICTURES.is_dir():
        pytest.skip(f"no real pictures at {PICTURES}; set CATGAN_SHARED_DATA")
    return PICTURES


@pytest.fixture
def process() -> Iterator[subprocess.Popen]:
    """Another process, which does nothing."""
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield sleeping
    sleeping.kill()
    sleeping.wait()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of so many MiB of memory; may be called once in a test."""
    place = tmp_path / "disk"

    def make(size_mib: int) -> Path:
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small disk")
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(place)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
        return place

    yield make
    if place.is_mount():
        # Lazily: a failed command's files are closed only when its memory is collected.
        subprocess.run(["umount", "-l", str(place)], check=True)
