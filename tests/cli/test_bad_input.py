"""Bad input of every kind: the exit code, a message with value and remedy, nothing written."""

import contextlib

import pytest

from tests.cli import bad_configs, bad_datasets, bad_runs, bad_sources
from tests.cli.bad_input import KINDS, Place

LISTS = (bad_configs, bad_datasets, bad_runs, bad_sources)


@pytest.fixture
def place(trained, tiny, tmp_path):
    return Place(tmp_path, trained)


def contents(folder):
    """Returns every file under a folder with its size."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def check(ended, code, parts):
    assert ended.code == code, ended.err
    for part in parts:
        assert part in ended.err
    for word in ("Traceback", "internal error", "Errno"):
        assert word not in ended.err
    usage = ended.err.startswith("Usage:")
    assert usage or "  do: " in ended.err, "no remedy"
    last = ended.err[ended.err.rindex("error: " if not usage else "Error: ") :]
    assert len(last) < 1500


@pytest.mark.parametrize("name", sorted(KINDS))
def test_bad_input(catgan, place, name):
    kind = KINDS[name]
    arguments = kind.spoil(place)
    before = contents(place.folder)
    ended = catgan(*arguments)
    check(ended, kind.code, kind.parts)
    if arguments[0] != "inspect":
        assert ended.out == ""
    new = {path for path in contents(place.folder) if path not in before}
    assert not {path for path in new if "checkpoints" in path or path.endswith(".png")}
    if arguments[0] == "train" and not kind.found_late:
        assert not new


def test_there_are_many_kinds():
    assert len(KINDS) >= 60
    assert {kind.spoil.__module__ for kind in KINDS.values()} == {m.__name__ for m in LISTS}
    assert {kind.code for kind in KINDS.values()} == {2, 3, 4, 5}


# Buckets.


def test_a_bucket_that_is_not_there(catgan, place, bucket):
    ended = catgan("train", "tiny.yaml", "run=gs://no-such-bucket/runs/x")
    check(ended, 4, ["no-such-bucket"])


def test_a_bucket_that_is_closed_to_us(catgan, place, bucket):
    bucket.faults.add("status", status=403)
    ended = catgan("resume", f"{bucket.address}/runs/x")
    check(ended, 4, [bucket.address])


def test_a_bucket_that_never_answers(catgan, place, bucket, monkeypatch):
    monkeypatch.setattr("trainer.storage.limits.DEADLINE_SECS", 1.0)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "1")
    check(catgan("inspect", "gs://somewhere/runs/x"), 4, ["gs://somewhere"])


# A full disk.


def test_a_disk_too_small_for_the_data_set(catgan, small_disk):
    disk = small_disk(1)
    ended = catgan("prepare", "drawn:60", disk / "set", "--size", 128, "--encoding", "raw")
    check(ended, 4, [str(disk)])


def test_a_disk_too_small_for_the_run(catgan, place, small_disk):
    disk = small_disk(1)
    ended = catgan("train", "tiny.yaml", f"run={disk}/run", "model.base_channels=32")
    check(ended, 4, [str(disk), "free"])


def test_a_disk_too_small_for_the_config_of_bare_pictures(catgan, place, small_disk):
    disk = small_disk(1)
    place.picture("cats/a.png")
    with contextlib.suppress(OSError):
        (disk / "ballast").write_bytes(bytes(2**21))
    ended = catgan("train", "--pictures", "cats", f"--run={disk}/run")
    check(ended, 4, [str(disk)])
