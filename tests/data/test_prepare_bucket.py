"""Sources and data sets in a bucket."""

import json

import pytest

from tests.data.pictures import contents, noise, pictures, write_folder, write_tar
from trainer import storage
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.data.shards import MANIFEST_NAME
from trainer.data.source import open_source
from trainer.errors import ConfigError, DataError, InterruptedRun

SMALL = PrepareOptions(size_px=16, workers=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def put(address, files):
    folder = storage.open_folder(address)
    for name, data in files.items():
        folder.write(name, data)


def shards_of(address):
    folder = storage.open_folder(address)
    return {e.name: folder.read(e.name) for e in folder.list() if e.name.endswith(".tfrecord")}


def test_a_bucket_gives_and_takes_the_same_bytes_as_a_folder(tmp_path, bucket):
    files = {**pictures(60), "note.txt": b"words", "bad.png": b""}
    source = write_folder(tmp_path / "source", files)
    put(f"{bucket.address}/pictures", files)
    prepare(str(source), str(tmp_path / "set"), SMALL)
    for workers in (1, 2):
        target = f"{bucket.address}/set{workers}"
        options = PrepareOptions(size_px=16, workers=workers)
        manifest = prepare(f"{bucket.address}/pictures", target, options)
        assert manifest.counts.reasons == {"empty file": 1}
        assert shards_of(target) == shards_of(tmp_path / "set")
        lines = storage.open_folder(target).read("rejected.jsonl").splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["bad.png"]
    assert not list((tmp_path / "cache").glob("catgan/prepare/*"))


def test_a_bucket_that_fails_now_and_then_slows_it_only(tmp_path, bucket):
    put(f"{bucket.address}/pictures", pictures(30))
    bucket.faults.add("status", every=3)
    manifest = prepare(f"{bucket.address}/pictures", f"{bucket.address}/set", SMALL)
    bucket.faults.clear()
    assert len(contents(f"{bucket.address}/set", manifest)) == 30


def test_an_archive_in_a_bucket(tmp_path, bucket):
    archive = write_tar(tmp_path / "cats.tar.gz", pictures(20), "w:gz")
    put(bucket.address, {"packed/cats.tar.gz": archive.read_bytes()})
    manifest = prepare(f"{bucket.address}/packed/cats.tar.gz", str(tmp_path / "set"), SMALL)
    assert set(contents(tmp_path / "set", manifest)) == set(pictures(20))
    assert manifest.source.address == f"{bucket.address}/packed/cats.tar.gz"
    assert not (tmp_path / "set" / ".prepare").exists()


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_an_archive_that_is_replaced_is_fetched_again(tmp_path, bucket, kind):
    def put_archive(files):
        archive = write_tar(tmp_path / kind, files, "w:" + kind.partition(".")[2])
        put(bucket.address, {f"cats.{kind}": archive.read_bytes()})

    def stop(status):
        if status.phase == "writing":
            raise KeyboardInterrupt

    source = f"{bucket.address}/cats.{kind}"
    put_archive(pictures(9))
    with pytest.raises(InterruptedRun):
        prepare(source, str(tmp_path / "set"), SMALL, stop)
    others = {name.replace("cat", "other"): data for name, data in pictures(12).items()}
    put_archive(others)
    manifest = prepare(source, str(tmp_path / "set"), SMALL)
    assert set(contents(tmp_path / "set", manifest)) == set(others)


def test_a_tfds_folder_that_changes_is_fetched_again(tmp_path, bucket):
    address = f"{bucket.address}/pets"
    put(address, {"dataset_info.json": b"{}", "pets-train": b"one"})
    for content in (b"one", b"two"):
        put(address, {"pets-train": content})
        source = open_source(f"tfds:{address}", tmp_path / "work")
        for _ in range(2):
            folder = source._fetched(address)
            assert (folder / "pets-train").read_bytes() == content
    assert len(list((tmp_path / "work" / "source").iterdir())) == 1


def test_what_is_missing_in_a_bucket(tmp_path, bucket):
    with pytest.raises(DataError, match="holds no pictures"):
        prepare(f"{bucket.address}/nothing", str(tmp_path / "set"), SMALL)
    with pytest.raises(DataError, match="there is no source at"):
        prepare(f"{bucket.address}/nothing.zip", str(tmp_path / "set"), SMALL)
    assert not (tmp_path / "set").exists()


def test_a_prefix_with_other_things_in_it_is_no_target(bucket):
    put(f"{bucket.address}/busy", {"thesis.tex": b"work"})
    with pytest.raises(ConfigError, match="not empty and no data set"):
        prepare("drawn:5", f"{bucket.address}/busy", SMALL)


def test_the_manifest_comes_last_and_stale_shards_go(bucket):
    target = f"{bucket.address}/set"
    put(target, {"train-00000-of-00001.tfrecord": b"of an earlier try"})
    manifest = prepare("drawn:20", target, SMALL)
    assert set(shards_of(target)) == {shard.name for shard in manifest.shards}
    entries = {e.name: e.generation for e in storage.open_folder(target).list()}
    assert max(entries, key=lambda name: entries[name]) == MANIFEST_NAME


def test_landmarks_in_a_bucket(tmp_path, bucket, shared_data):
    name = "00000001_000.jpg"
    folder = shared_data / "cat-landmarks"
    files = {f"{n}": (folder / n).read_bytes() for n in (name, f"{name}.cat")}
    put(f"{bucket.address}/cats", {**files, "other.png": noise(0, 99, 99)})
    options = PrepareOptions(size_px=64, crop="landmarks", workers=1, val_fraction=0)
    manifest = prepare(f"{bucket.address}/cats", str(tmp_path / "set"), options)
    assert set(contents(tmp_path / "set", manifest)) == {name}
