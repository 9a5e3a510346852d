"""Damaged checkpoints: named, and the one before is taken."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoint.conftest import assert_is_state, begin, save
from trainer import checkpoint
from trainer.checkpoint.format import MANIFEST, read_manifest
from trainer.checkpoint.listing import manifest_name
from trainer.errors import CheckpointError, StorageError

NEWEST = "checkpoints/step-000000300"


def parts_of(run):
    return [entry.name for entry in run.folder.list(f"{NEWEST}/start-")]


def cut_part(run):
    name = parts_of(run)[1]
    run.folder.write(name, run.folder.read(name)[:-7])
    return "bytes"


def flip_byte(run):
    name = parts_of(run)[0]
    data = bytearray(run.folder.read(name))
    data[len(data) // 2] ^= 4
    run.folder.write(name, bytes(data))
    return "SHA-256"


def remove_part(run):
    run.folder.delete(parts_of(run)[-1])
    return "missing"


def remove_all_parts(run):
    for name in parts_of(run):
        run.folder.delete(name)
    return "missing"


def change_manifest(**changes):
    def damage(run):
        manifest = json.loads(run.folder.read(f"{NEWEST}/{MANIFEST}"))
        run.folder.write(f"{NEWEST}/{MANIFEST}", json.dumps({**manifest, **changes}).encode())
        return r"manifest\.json"

    return damage


def change_tensor(**changes):
    def damage(run):
        manifest = json.loads(run.folder.read(f"{NEWEST}/{MANIFEST}"))
        manifest["tensors"]["ema/dense/kernel"].update(changes)
        run.folder.write(f"{NEWEST}/{MANIFEST}", json.dumps(manifest).encode())
        return "ema/dense/kernel"

    return damage


def write_manifest(data):
    def damage(run):
        run.folder.write(f"{NEWEST}/{MANIFEST}", data)
        return "manifest"

    return damage


def escape_folder(run):
    manifest = json.loads(run.folder.read(f"{NEWEST}/{MANIFEST}"))
    manifest["parts"][0]["name"] = "../step-000000200/" + manifest["parts"][0]["name"]
    run.folder.write(f"{NEWEST}/{MANIFEST}", json.dumps(manifest).encode())
    return "parts"


def swap_parts(run):
    first, second, *_ = parts_of(run)
    a, b = run.folder.read(first), run.folder.read(second)
    run.folder.write(first, b)
    run.folder.write(second, a)
    return "SHA-256|bytes"


DAMAGES = {
    "a part is cut": cut_part,
    "a byte is flipped": flip_byte,
    "a part is missing": remove_part,
    "all parts are missing": remove_all_parts,
    "parts are swapped": swap_parts,
    "a part lies outside": escape_folder,
    "the manifest is empty": write_manifest(b""),
    "the manifest is cut": write_manifest(b'{"format": "catgan-checkpoint", "format_ver'),
    "the manifest is no JSON": write_manifest(b"\x80\x04pickled"),
    "the manifest is a list": write_manifest(b"[]"),
    "the manifest is of a newer format": change_manifest(format_version=2),
    "the manifest is of something else": change_manifest(format="torch"),
    "the manifest is of another step": change_manifest(step=301),
    "the manifest has no parts": change_manifest(parts=[]),
    "the manifest has unknown keys": change_manifest(surprise=1),
    "a tensor has another shape": change_tensor(shape=[3, 40]),
    "a tensor has another dtype": change_tensor(dtype="int32"),
    "a tensor has an unknown dtype": change_tensor(dtype="object"),
    "a tensor is in no part": change_tensor(part="start-0001-part-0009-of-0009.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_is_taken(run, damage, caplog):
    save(run, begin(run).start, 100, 200, 300)
    said = DAMAGES[damage](run)
    newest = checkpoint.find_newest(run)
    assert newest.step == 200
    assert_is_state(newest.load(), 200)
    assert "step-000000300 cannot be used" in caplog.text
    assert re.search(said, caplog.text)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.open_step(run, 300)
    assert "step-000000100, step-000000200" in caught.value.expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_training_goes_on_over_what_was_damaged(run, damage):
    save(run, begin(run).start, 100, 200, 300)
    DAMAGES[damage](run)
    second = begin(run)
    assert second.first_step == 200
    save(run, second.start, 300, 400, seed=1)
    assert_is_state(checkpoint.find_newest(run).load(), 400, seed=1)
    assert_is_state(checkpoint.open_step(run, 300).load(), 300, seed=1)


def test_if_all_are_damaged_nobody_begins_anew_silently(run):
    save(run, begin(run).start, 300)
    flip_byte(run)
    with pytest.raises(CheckpointError, match=r"none of the checkpoints .* SHA-256"):
        checkpoint.find_newest(run)
    with pytest.raises(CheckpointError, match="none of the checkpoints"):
        begin(run)
    assert run.read_record().start(2).ended


def test_a_folder_that_cannot_be_reached_is_no_damage(run, monkeypatch):
    save(run, begin(run).start, 200, 300)

    def unreachable(name):
        raise StorageError("no answer within 600 s")

    monkeypatch.setattr(run.folder, "read", unreachable)
    with pytest.raises(StorageError, match="no answer"):
        checkpoint.find_newest(run)


def test_a_part_without_the_wanted_tensors_may_be_damaged(run):
    save(run, begin(run).start, 300)
    run.folder.delete(parts_of(run)[0])
    assert "ema" not in parts_of(run)[0]
    newest = checkpoint.find_newest(run, prefixes=("generator/",))
    assert sorted(newest.load(("generator/",))) == [
        "generator/dense/bias",
        "generator/dense/kernel",
    ]


def test_listing_names_what_is_wrong(run):
    save(run, begin(run).start, 100, 200, 300)
    cut_part(run)
    run.folder.write(manifest_name(200), b"{}")
    listed = {item.step: item for item in checkpoint.list_all(run)}
    assert listed[100].counts
    assert "the manifest says" in listed[300].problem
    assert "manifest.json" in listed[200].problem
    told = checkpoint.describe(checkpoint.open_step(run, 100))
    assert told["whole"]


def _anything():
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    return st.recursive(
        leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )


GOOD = {
    "format": "catgan-checkpoint",
    "format_version": 1,
    "step": 1,
    "images_seen": 1,
    "start": 1,
    "tensors": {},
    "parts": [],
}


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), _anything()) | _anything())
@settings(max_examples=80, deadline=None)
def test_no_manifest_ends_in_a_traceback(changes):
    raw = {**GOOD, **changes} if isinstance(changes, dict) else changes
    try:
        read_manifest(json.dumps(raw).encode(), "m.json")
    except CheckpointError as error:
        assert "m.json" in str(error)  # noqa: PT017 - it may also be fine


@given(st.binary(max_size=200))
def test_no_bytes_end_in_a_traceback(data):
    with pytest.raises(CheckpointError, match=r"m\.json"):
        read_manifest(data, "m.json")
