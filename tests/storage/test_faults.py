"""A bucket that fails in every known way slows a caller; it neither stops nor deceives one."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fixtures import Bucket
from trainer import storage
from trainer.errors import ConfigError
from trainer.storage.writes import CHUNK_BYTES

LARGE = os.urandom(CHUNK_BYTES + 4321)
SMALL = os.urandom(5000)

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 503, "every": 3}),
    ("status", {"status": 503, "every": 2}),
    ("status", {"status": 429, "every": 3}),
    ("status", {"status": 500, "every": 2, "after": 1}),
    ("reset", {"every": 3}),
    ("reset", {"every": 2}),
    ("lose_answer", {"every": 3}),
    ("lose_answer", {"every": 2}),
    ("stall", {"every": 6, "secs": 0.6}),
    ("stall_body", {"every": 6, "secs": 0.6}),
    ("cut", {"every": 3}),
    ("cut", {"every": 2}),
    ("cut", {"every": 2, "at": 0.99}),
    ("flip", {"every": 2}),
    ("flip_request", {"every": 3, "operations": ("insert", "chunk")}),
]


@pytest.fixture
def impatient(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request waits a third of a second only."""
    monkeypatch.setenv("CATGAN_STORAGE_TIMEOUT_SECS", "0.3")


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up_at, "it never came to be"
        time.sleep(0.02)


@pytest.mark.parametrize(("kind", "options"), FAULTS, ids=lambda value: str(value))
def test_every_call_gets_through(
    bucket: Bucket,
    bucket_folder: storage.Folder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    options: dict[str, Any],
) -> None:
    if kind.startswith("stall"):
        monkeypatch.setenv("CATGAN_STORAGE_TIMEOUT_SECS", "0.4")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(LARGE)
    rule = bucket.faults.add(kind, **options)
    first = bucket_folder.write("small", b"first", if_generation=storage.ABSENT)
    second = bucket_folder.write("small", SMALL, if_generation=first)
    assert bucket_folder.read_versioned("small") == (SMALL, second)
    bucket_folder.write("small", SMALL)
    bucket_folder.upload("large", source, if_generation=storage.ABSENT)
    bucket_folder.download("large", target)
    assert target.read_bytes() == LARGE
    assert [entry.name for entry in bucket_folder.list()] == ["large", "small"]
    if kind != "flip":  # the service gives no checksum of a range
        assert bucket_folder.read("large", start=7, end=99) == LARGE[7:99]
    bucket_folder.delete("small", missing_ok=False)
    assert not bucket_folder.exists("small")
    assert rule.fired >= 2


@pytest.mark.parametrize("operation", ["insert", "start", "chunk"])
def test_a_write_whose_answer_is_lost_is_recognised(
    bucket: Bucket, bucket_folder: storage.Folder, tmp_path: Path, operation: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(SMALL if operation == "insert" else LARGE)
    bucket.faults.add("lose_answer", operations=(operation,), times=1)
    generation = bucket_folder.upload("it", source, if_generation=storage.ABSENT)
    assert bucket_folder.read_versioned("it") == (source.read_bytes(), generation)
    assert bucket.faults.requests["look"] == (operation == "insert")


@pytest.mark.parametrize("status", [409, 410, 425])
def test_an_upload_whose_session_is_gone_begins_a_new_one(
    bucket: Bucket, bucket_folder: storage.Folder, tmp_path: Path, status: int
) -> None:
    """Sending the chunk again to a session that is gone would go on until the deadline."""
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    bucket.faults.add("status", status=status, operations=("chunk",), times=3)
    bucket_folder.upload("it", source, if_generation=storage.ABSENT)
    assert bucket_folder.read("it") == LARGE
    assert bucket.faults.requests["start"] == 4


def test_the_same_bytes_of_another_writer_are_not_taken_for_ours(
    bucket: Bucket, bucket_folder: storage.Folder
) -> None:
    bucket_folder.write("it", b"claim")
    bucket.faults.add("reset", operations=("insert",), times=1)
    with pytest.raises(storage.Conflict):
        bucket_folder.write("it", b"claim", if_generation=storage.ABSENT)


def test_a_delete_whose_answer_is_lost_is_done(
    bucket: Bucket, bucket_folder: storage.Folder
) -> None:
    bucket_folder.write("it", b"1")
    bucket.faults.add("lose_answer", operations=("delete",), times=1)
    bucket_folder.delete("it", missing_ok=False)
    assert not bucket_folder.exists("it")


@pytest.mark.usefixtures("impatient")
def test_a_write_that_arrives_late_undoes_nothing(
    bucket: Bucket, bucket_folder: storage.Folder
) -> None:
    bucket.faults.add("stall", operations=("insert",), times=1, secs=1.5)
    bucket_folder.write("it", b"old")
    bucket_folder.write("it", b"new")
    wait_until(lambda: bucket.faults.done["insert"] == bucket.faults.requests["insert"])
    assert bucket_folder.read("it") == b"new"


@pytest.mark.usefixtures("impatient")
def test_a_delete_that_arrives_late_undoes_nothing(
    bucket: Bucket, bucket_folder: storage.Folder
) -> None:
    bucket_folder.write("it", b"old")
    bucket.faults.add("stall", operations=("delete",), times=1, secs=1.5)
    bucket_folder.delete("it")
    bucket_folder.write("it", b"new")
    wait_until(lambda: bucket.faults.done["delete"] == bucket.faults.requests["delete"])
    assert bucket_folder.read("it") == b"new"


def test_a_cut_download_goes_on_where_it_was_cut(
    bucket: Bucket, bucket_folder: storage.Folder
) -> None:
    bucket_folder.write("it", SMALL)
    bucket.faults.add("cut", operations=("media",), at=0.5, times=6)
    assert bucket_folder.read("it") == SMALL
    assert bucket.faults.requests["media"] == 7


def test_an_object_replaced_while_it_is_read_comes_from_one_write(
    bucket: Bucket, bucket_folder: storage.Folder
) -> None:
    bucket_folder.write("it", b"a" * 1000)
    bucket.faults.add("cut", operations=("media",), times=1)
    # The pause after the cut is long enough to write in.
    bucket.faults.add("stall", operations=("look",), times=1, secs=1.0)
    reader = threading.Thread(target=lambda: read.append(bucket_folder.read("it")))
    read: list[bytes] = []
    reader.start()
    wait_until(lambda: bucket.faults.requests["look"] == 1)
    other = storage.open_folder(bucket_folder.address)
    other.write("it", b"b" * 1000)
    reader.join()
    assert read == [b"b" * 1000]


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("status", {"status": 503}, "HTTP 503"),
        ("status", {"status": 429}, "HTTP 429"),
        ("reset", {}, "connection reset"),
        ("stall", {"secs": 1.0}, "no answer in time"),
        ("stall_body", {"secs": 1.0}, "no answer in time"),
        ("flip", {"operations": ("media",)}, "checksum"),
        ("drip", {"secs": 0.05, "drip_bytes": 20_000}, "no answer in time"),
    ],
)
def test_the_deadline_ends_the_wait_and_is_named(
    bucket: Bucket,
    bucket_folder: storage.Folder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    options: dict[str, Any],
    named: str,
) -> None:
    bucket_folder.write("it", LARGE if kind == "drip" else SMALL)
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.75")
    monkeypatch.setenv("CATGAN_STORAGE_TIMEOUT_SECS", "0.2")
    bucket.faults.add(kind, **options)
    with pytest.raises(storage.StorageError) as caught:
        bucket_folder.download("it", tmp_path / "it")
    text = str(caught.value)
    assert bucket_folder.address_of("it") in text
    assert "0.75 s" in text
    assert named in text
    assert "CATGAN_STORAGE_DEADLINE_SECS" in text
    assert list(tmp_path.iterdir()) == []


def test_nobody_listening(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.3")
    bucket.server.stop()
    with pytest.raises(storage.StorageError, match="connection refused"):
        storage.open_folder(bucket.address).read("it")


def test_a_slow_bucket_is_mentioned_once(
    bucket: Bucket, bucket_folder: storage.Folder, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.faults.add("status", status=503, every=2)
    with caplog.at_level(logging.INFO, logger="catgan"):
        for number in range(20):
            bucket_folder.write(f"object {number}", b"x")
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "HTTP 503" in warnings[0].getMessage()


def test_a_fault_that_does_not_pass_is_not_tried_again(
    bucket: Bucket, bucket_folder: storage.Folder
) -> None:
    bucket.faults.add("status", status=400)
    with pytest.raises(storage.StorageError, match="HTTP 400"):
        bucket_folder.read("it")
    assert bucket.faults.requests["media"] == 1


def test_a_damaged_upload_never_becomes_an_object(
    bucket: Bucket, bucket_folder: storage.Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.5")
    source = tmp_path / "source"
    bucket.faults.add("flip_request", operations=("insert", "chunk"))
    for content in (SMALL, LARGE):
        source.write_bytes(content)
        with pytest.raises(storage.StorageError):
            bucket_folder.upload("it", source)
    bucket.faults.clear()
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "120")
    assert not bucket_folder.exists("it")


@pytest.mark.parametrize("variable", ["DEADLINE_SECS", "TIMEOUT_SECS", "PAUSE_SECS"])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_limits_that_are_no_numbers(
    bucket_folder: storage.Folder, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"CATGAN_STORAGE_{variable}", value)
    with pytest.raises(ConfigError, match=variable):
        bucket_folder.read("it")
