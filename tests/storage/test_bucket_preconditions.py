"""Preconditions on every verb, as Google's service has them; where another server differs."""

import pytest

from tests.fakes.bucket_server import TEST_BUCKET
from tests.storage.wire import Wire

PRECONDITIONS_ON = "fake-gcs-server ignores preconditions on "


def test_preconditions_on_uploads(wire: Wire) -> None:
    assert wire.insert("it", b"1", ifGenerationMatch=7).status_code == 412
    assert wire.insert("it", b"1", ifGenerationMatch=0).status_code == 200
    assert wire.insert("it", b"2", ifGenerationMatch=0).status_code == 412
    now = wire.generation("it")
    assert wire.insert("it", b"2", ifGenerationMatch=now).status_code == 200
    assert wire.insert("it", b"3", ifGenerationMatch=now).status_code == 412
    assert wire.media("it").content == b"2"


def test_preconditions_on_uploads_in_chunks(wire: Wire) -> None:
    wire.foreign_differs(PRECONDITIONS_ON + "uploads in chunks")
    path = f"/upload/storage/v1/b/{TEST_BUCKET}/o"
    query = {"uploadType": "resumable", "name": wire.prefix + "it", "ifGenerationMatch": "0"}
    where = wire.call("POST", path, params=query).headers["Location"]
    wire.insert("it", b"between")
    headers = {"Content-Range": "bytes 0-0/1"}
    assert wire.session.put(where, data=b"x", headers=headers, timeout=30).status_code == 412
    assert wire.call("POST", path, params=query).status_code == 412
    assert wire.media("it").content == b"between"


def test_preconditions_on_reads(wire: Wire) -> None:
    wire.foreign_differs(PRECONDITIONS_ON + "reads")
    wire.insert("it", b"x")
    now = wire.generation("it")
    path = wire.object_path("it")
    for query, status in [
        ({"ifGenerationMatch": now}, 200),
        ({"ifGenerationMatch": now + 1}, 412),
        ({"ifGenerationNotMatch": now}, 304),
        ({"ifGenerationNotMatch": now + 1}, 200),
        ({"ifMetagenerationMatch": 1}, 200),
        ({"ifMetagenerationMatch": 2}, 412),
        ({"ifMetagenerationNotMatch": 1}, 304),
        ({"generation": now}, 200),
        ({"generation": now + 1}, 404),
        ({"ifGenerationMatch": "x"}, 400),
    ]:
        assert wire.call("GET", path, params=query).status_code == status, query
        assert wire.media("it", **query).status_code == status, query


def test_preconditions_on_deletes(wire: Wire) -> None:
    wire.foreign_differs(PRECONDITIONS_ON + "deletes")
    wire.insert("it", b"x")
    now = wire.generation("it")
    path = wire.object_path("it")
    for query in (
        {"ifGenerationMatch": now + 1},
        {"ifGenerationNotMatch": now},
        {"ifMetagenerationMatch": 5},
        {"ifMetagenerationNotMatch": 1},
    ):
        assert wire.call("DELETE", path, params=query).status_code == 412, query
    assert wire.call("DELETE", path, params={"ifGenerationMatch": now}).status_code == 204
    assert wire.call("GET", path).status_code == 404


@pytest.mark.parametrize("verb", ["rewriteTo", "copyTo"])
def test_preconditions_on_copies(wire: Wire, verb: str) -> None:
    wire.foreign_differs(PRECONDITIONS_ON + "copies")
    wire.insert("from", b"content")
    wire.insert("to", b"old")
    source, target = wire.generation("from"), wire.generation("to")
    path = f"{wire.object_path('from')}/{verb}{wire.object_path('to').removeprefix('/storage/v1')}"
    for query in (
        {"ifGenerationMatch": target + 1},
        {"ifGenerationMatch": 0},
        {"ifSourceGenerationMatch": source + 1},
        {"ifSourceGenerationNotMatch": source},
        {"ifMetagenerationMatch": 2},
    ):
        assert wire.call("POST", path, params=query).status_code == 412, query
    good = {"ifGenerationMatch": target, "ifSourceGenerationMatch": source}
    assert wire.call("POST", path, params=good).status_code == 200
    assert wire.media("to").content == b"content"


def test_preconditions_on_changes_of_metadata(wire: Wire) -> None:
    wire.foreign_differs(PRECONDITIONS_ON + "changes of metadata")
    wire.insert("it", b"x")
    path = wire.object_path("it")
    change = {"metadata": {"a": "b"}}
    first = wire.call("PATCH", path, json=change, params={"ifMetagenerationMatch": 1})
    assert first.json()["metageneration"] == "2"
    again = wire.call("PATCH", path, json=change, params={"ifMetagenerationMatch": 1})
    assert again.status_code == 412
