"""What a person reads who has no credentials, no rights or no bucket; and no secret in it."""

import json
import logging
from pathlib import Path

import pytest

from tests.fakes.fixtures import Bucket
from trainer import storage
from trainer.errors import ConfigError

SECRET = "very-secret-key-material"


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which google-auth finds nothing, without asking the network."""
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no gcloud"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("no_credentials")
def test_no_credentials_at_all() -> None:
    with pytest.raises(storage.StorageError) as caught:
        storage.open_folder("gs://cats-bucket/run").read("run.json")
    text = str(caught.value)
    assert "gs://cats-bucket/run/run.json" in text
    assert "gcloud auth application-default login" in text
    assert "GOOGLE_APPLICATION_CREDENTIALS" in text
    assert caught.value.exit_code == 4


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize(
    "key_file",
    [
        None,
        f"not json: {SECRET}",
        json.dumps({"private_key": SECRET}),
        json.dumps({"type": "service_account", "private_key": SECRET}),
        json.dumps(
            {
                "type": "service_account",
                "client_email": "cats@example.com",
                "token_uri": "https://example.com/token",
                "private_key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
            }
        ),
    ],
)
def test_unusable_key_files_are_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    key_file: str | None,
) -> None:
    path = tmp_path / "key.json"
    if key_file is not None:
        path.write_text(key_file)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(storage.StorageError, match="credentials") as caught,
    ):
        storage.open_folder("gs://cats-bucket/run").read("run.json")
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "gcloud auth application-default login"),
        (403, "roles/storage.objectUser"),
    ],
)
def test_refused_by_the_service(bucket: Bucket, status: int, expected: str, tmp_path: Path) -> None:
    folder = storage.open_folder(f"{bucket.address}/run")
    bucket.faults.add("status", status=status)
    for call in (
        lambda: folder.read("run.json"),
        lambda: folder.write("run.json", b"{}"),
        lambda: folder.write("run.json", b"{}", if_generation=storage.ABSENT),
        lambda: folder.delete("run.json"),
        lambda: folder.exists("run.json"),
        lambda: list(folder.list()),
        lambda: folder.download("run.json", tmp_path / "it"),
    ):
        with pytest.raises(storage.StorageError, match=r"HTTP 403|credentials") as caught:
            call()
        assert "gs://test-bucket" in str(caught.value)
        assert expected in str(caught.value)


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_does_not_exist(tmp_path: Path) -> None:
    folder = storage.open_folder("gs://no-such-bucket/run")
    (tmp_path / "file").write_bytes(b"")
    for call in (
        lambda: folder.read("it"),
        lambda: folder.read("it", start=1),
        lambda: folder.write("it", b""),
        lambda: folder.upload("it", tmp_path / "file", if_generation=storage.ABSENT),
        lambda: folder.delete("it"),
        lambda: folder.exists("it"),
        lambda: list(folder.list()),
    ):
        with pytest.raises(storage.StorageError, match=r"bucket of .* does not exist") as caught:
            call()
        assert not isinstance(caught.value, storage.NotFound)
        assert "gcloud storage buckets create gs://no-such-bucket" in str(caught.value)


def test_an_emulator_that_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:4443")
    with pytest.raises(ConfigError, match="STORAGE_EMULATOR_HOST"):
        storage.open_folder("gs://cats-bucket/run").read("run.json")
