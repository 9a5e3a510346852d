"""Our bucket server speaks as Google's service does: the same requests to it and to another.

Plain HTTP, so that no client smooths anything over. What fake-gcs-server is
known to answer otherwise is expected to fail on it, each with its reason.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fakes.bucket_server import TEST_BUCKET
from tests.fakes.stored_objects import crc32c_of, md5_of
from tests.storage.wire import Wire, as_multipart
from trainer import storage

KIB = 1024


def test_metadata_and_checksums(wire: Wire) -> None:
    created = wire.insert("it", b"meow").json()
    looked = wire.call("GET", wire.object_path("it")).json()
    for resource in (created, looked):
        assert resource["name"] == wire.prefix + "it"
        assert resource["bucket"] == TEST_BUCKET
        assert resource["size"] == "4"
        assert resource["crc32c"] == crc32c_of(b"meow")
        assert resource["md5Hash"] == md5_of(b"meow")
        assert resource["generation"].isdecimal()
    media = wire.media("it")
    assert media.content == b"meow"
    assert media.headers["x-goog-generation"] == created["generation"]
    assert crc32c_of(b"meow") in media.headers["x-goog-hash"]


def test_multipart_uploads(wire: Wire) -> None:
    content = b"\r\n--b\r\n binary \0 \r\n"
    metadata = {
        "name": wire.prefix + "it",
        "metadata": {"key": "value"},
        "cacheControl": "no-store",
    }
    body = as_multipart(metadata, content)
    answer = wire.call(
        "POST",
        f"/upload/storage/v1/b/{TEST_BUCKET}/o?uploadType=multipart",
        data=body,
        headers={"Content-Type": 'multipart/related; boundary="mark"'},
    )
    assert answer.status_code == 200
    resource = wire.call("GET", wire.object_path("it")).json()
    assert resource["metadata"] == {"key": "value"}
    assert resource["contentType"] == "image/png"
    assert resource["cacheControl"] == "no-store"
    assert wire.media("it").content == content


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-3", 206, 0, 4),
        ("bytes=5-", 206, 5, 10),
        ("bytes=-2", 206, 8, 10),
        ("bytes=8-100", 206, 8, 10),
        ("bytes=10-", 416, 0, 0),
    ],
)
def test_ranges(wire: Wire, asked: str, status: int, start: int, end: int) -> None:
    wire.insert("ten", b"0123456789")
    answer = wire.media("ten", {"Range": asked})
    assert answer.status_code == status
    if status == 206:
        assert answer.content == b"0123456789"[start:end]
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/10"


def test_what_is_missing(wire: Wire) -> None:
    assert wire.call("GET", wire.object_path("no")).status_code == 404
    assert wire.media("no").status_code == 404
    assert wire.call("DELETE", wire.object_path("no")).status_code == 404
    assert wire.call("GET", "/storage/v1/b/no-such-bucket/o").status_code == 404
    assert wire.call("GET", "/storage/v1/b/no-such-bucket").status_code == 404


def test_pages(wire: Wire) -> None:
    names = [f"{number:02}" for number in range(7)]
    for name in reversed(names):
        wire.insert(name, b"x")
    query = {"prefix": wire.prefix, "maxResults": "3"}
    pages = []
    while True:
        answer = wire.call("GET", f"/storage/v1/b/{TEST_BUCKET}/o", params=query).json()
        pages.append([item["name"].removeprefix(wire.prefix) for item in answer["items"]])
        if not answer.get("nextPageToken"):
            break
        query["pageToken"] = answer["nextPageToken"]
    assert pages == [names[:3], names[3:6], names[6:]]


def test_an_upload_in_chunks(wire: Wire) -> None:
    content = os.urandom(600 * KIB)
    started = wire.call(
        "POST",
        f"/upload/storage/v1/b/{TEST_BUCKET}/o?uploadType=resumable",
        json={"name": wire.prefix + "it"},
    )
    where = started.headers["Location"]

    def put(start: int, end: int, total: int | str) -> requests.Response:
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{total}"}
        return wire.session.put(where, data=content[start:end], headers=headers, timeout=30)

    first = put(0, 256 * KIB, "*")
    assert first.status_code == 308
    assert first.headers["Range"] == f"bytes=0-{256 * KIB - 1}"
    assert wire.media("it").status_code == 404
    last = put(256 * KIB, len(content), len(content))
    assert last.status_code == 200
    assert last.json()["crc32c"] == crc32c_of(content)
    assert wire.media("it").content == content


def test_chunks_sent_again(wire: Wire) -> None:
    wire.foreign_differs("fake-gcs-server does not know a chunk that is sent again")
    content = os.urandom(512 * KIB)
    query = {"uploadType": "resumable", "name": wire.prefix + "it"}
    path = f"/upload/storage/v1/b/{TEST_BUCKET}/o"
    where = wire.call("POST", path, params=query).headers["Location"]
    whole = f"bytes 0-{len(content) - 1}/{len(content)}"
    half = f"bytes 0-{256 * KIB - 1}/{len(content)}"
    asking = f"bytes */{len(content)}"
    for span, data, status in [
        (asking, b"", 308),
        (half, content[: 256 * KIB], 308),
        (half, content[: 256 * KIB], 308),
        (asking, b"", 308),
        (whole, content, 200),
        (whole, content, 200),
        (asking, b"", 200),
    ]:
        answer = wire.session.put(where, data=data, headers={"Content-Range": span}, timeout=30)
        assert answer.status_code == status
    assert wire.media("it").content == content


def test_composing(wire: Wire) -> None:
    wire.insert("a", b"left ")
    wire.insert("b", b"right")
    parts = [{"name": wire.prefix + "a"}, {"name": wire.prefix + "b"}]
    answer = wire.call(
        "POST",
        wire.object_path("whole") + "/compose",
        json={"sourceObjects": parts, "destination": {"contentType": "text/plain"}},
    )
    assert answer.status_code == 200
    assert wire.media("whole").content == b"left right"


def test_long_lists_come_in_pages(bucket: Any) -> None:
    for number in range(2_345):
        bucket.server.store.insert(TEST_BUCKET, f"many/{number:05}", b"", {}, {})
    bucket.server.store.insert(TEST_BUCKET, "many/placeholder/", b"", {}, {})
    names = [entry.name for entry in storage.open_folder(f"{bucket.address}/many").list()]
    assert names == [f"{number:05}" for number in range(2_345)]
    assert bucket.faults.requests["list"] == 3


def test_a_server_of_its_own_process_keeps_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = json.dumps({"kind": "status", "status": 503, "times": 1})
    command = [sys.executable, "-m", "tests.fakes.bucket_server", "--root", str(tmp_path)]
    generation = None
    for _ in range(2):
        with subprocess.Popen(
            [*command, "--fault", fault], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.stdout.readline().strip())
            folder = storage.open_folder(f"gs://{TEST_BUCKET}/run")
            if generation is None:
                generation = folder.write("it", b"kept", if_generation=storage.ABSENT)
            assert folder.read_versioned("it") == (b"kept", generation)
            report = requests.get(os.environ["STORAGE_EMULATOR_HOST"] + "/faults", timeout=30)
            assert report.json()["rules"][0]["fired"] == 1
            server.terminate()
        assert server.returncode == 0
