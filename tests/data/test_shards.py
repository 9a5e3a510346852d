"""The manifest: what is refused, and that nothing but DataError ever comes out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import storage
from trainer.data.shards import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Counts,
    Manifest,
    Resize,
    Shard,
    SourceInfo,
    fingerprint,
    parse_manifest,
    read_manifest,
    shard_name,
)
from trainer.errors import DataError


def example(encoding: str = "png") -> Manifest:
    shards = tuple(
        Shard(name=shard_name(split, k, n), split=split, records=3, bytes=99, sha256="ab" * 32)
        for split, n in (("train", 2), ("validation", 1))
        for k in range(n)
    )
    return Manifest(
        size_px=64,
        encoding=encoding,
        resize=Resize(filter="lanczos", library="pillow"),
        crop="center",
        source=SourceInfo(address="/somewhere"),
        counts=Counts(train=6, validation=3),
        shards=shards,
        fingerprint=fingerprint(64, encoding, shards),
    )


def test_reads_what_was_written(tmp_path):
    (tmp_path / MANIFEST_NAME).write_bytes(example().to_json())
    assert read_manifest(storage.open_folder(tmp_path)) == example()


def test_a_missing_manifest_names_the_command(tmp_path):
    with pytest.raises(DataError, match="catgan prepare SOURCE"):
        read_manifest(storage.open_folder(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "not the manifest of a catgan data set"),
        ({"format_version": FORMAT_VERSION + 1}, "update catgan"),
        ({"size_px": 2000}, "size_px"),
        ({"shards": []}, "shards"),
        ({"encoding": "bmp"}, "encoding"),
        ({"fingerprint": "0" * 32}, "fingerprint"),
        ({"counts": {"train": 7, "validation": 3}}, "counts.train is 7"),
    ],
)
def test_refuses(change, said):
    fields = {**json.loads(example().to_json()), **change}
    with pytest.raises(DataError, match=said):
        parse_manifest(json.dumps(fields).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_refuses_what_is_no_manifest(data):
    with pytest.raises(DataError):
        parse_manifest(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(json.loads(example().to_json()))), _JSON)
def test_any_value_anywhere_gives_a_manifest_or_our_error(key, value):
    fields = {**json.loads(example().to_json()), key: value}
    try:
        parse_manifest(json.dumps(fields).encode())
    except DataError:
        return


def test_the_fingerprint_depends_on_the_pictures_only():
    manifest = example()
    moved = manifest.model_copy(update={"source": SourceInfo(address="gs://elsewhere/x")})
    assert parse_manifest(moved.to_json()).fingerprint == manifest.fingerprint
    assert fingerprint(32, "png", manifest.shards) != manifest.fingerprint
    assert fingerprint(64, "raw", manifest.shards) != manifest.fingerprint
    assert fingerprint(64, "png", manifest.shards[::-1]) != manifest.fingerprint
