"""Fixtures that every part of the suite uses."""

import os
from pathlib import Path

# Before TensorFlow is imported by any test: its own log lines hide ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

pytest_plugins = ["tests.fakes.fixtures"]

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures kept beside the checkout; tests that want them skip without."""
    folder = Path(os.environ.get("CATGAN_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}; set CATGAN_SHARED_DATA")
    return folder
