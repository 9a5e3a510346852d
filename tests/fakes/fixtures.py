"""Fixtures that start buckets; `tests/conftest.py` loads them for the whole suite."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes.bucket_server import TEST_BUCKET, BucketServer

# Pauses fit for a server on this machine; deadlines stay long enough for a busy one.
QUICK = {
    "CATGAN_STORAGE_PAUSE_SECS": "0.01",
    "CATGAN_STORAGE_TIMEOUT_SECS": "20",
    "CATGAN_STORAGE_DEADLINE_SECS": "120",
}


@dataclass(frozen=True)
class Bucket:
    """A running bucket.

    Attributes:
        server: Whose `faults` can be told to happen.
        address: `gs://…`, empty at the start of a test.
        endpoint: What STORAGE_EMULATOR_HOST is set to while the test runs.
    """

    server: BucketServer
    address: str
    endpoint: str

    @property
    def faults(self) -> Any:
        return self.server.faults

    def env(self, **more: str) -> dict[str, str]:
        """An environment for subprocesses that use this bucket."""
        return {**os.environ, **QUICK, "STORAGE_EMULATOR_HOST": self.endpoint, **more}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of our own server, which the environment points to."""
    with BucketServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        for key, value in QUICK.items():
            monkeypatch.setenv(key, value)
        yield Bucket(server, f"gs://{TEST_BUCKET}", server.endpoint)
