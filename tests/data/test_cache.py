"""Shards as files: whole, checked, bounded, shared between processes."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from tests.data.small_sets import noise, write_set
from trainer import storage
from trainer.data.cache import MIB, CachedShards, LocalShards, open_shards
from trainer.data.cache_folder import Lease, Wait
from trainer.data.prefetch import Prefetcher
from trainer.data.shards import read_manifest
from trainer.errors import ConfigError, DataError, StorageError


def until(condition, secs=30):
    end = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def remote(bucket):
    """A set of 20 shards of equal size in a bucket: (bucket, folder, shards)."""
    address = f"{bucket.address}/cats"
    manifest = write_set(address, noise(40, 32), shards=20, encoding="raw")
    bucket.faults.clear()
    return bucket, storage.open_folder(address), manifest.split("train")


def cached(folder, directory, shards, room):
    """A cache with room for so many of these shards."""
    return CachedShards(folder, directory, room * max(shard.bytes for shard in shards) / MIB)


def content(lease):
    return hashlib.sha256(lease.path.read_bytes()).hexdigest()


def test_a_shard_is_downloaded_once(remote, tmp_path):
    bucket, folder, shards = remote
    files = cached(folder, tmp_path / "cache", shards, 20)
    for _ in range(3):
        with files.acquire(shards[0]) as lease:
            assert content(lease) == shards[0].sha256
    again = cached(folder, tmp_path / "cache", shards, 20)
    assert content(again.acquire(shards[0])) == shards[0].sha256
    assert sum(bucket.faults.requests.values()) <= 2  # the object, perhaps its description


def test_a_local_set_is_read_in_place(tmp_path):
    manifest = write_set(tmp_path / "set", noise(4, 8), shards=2)
    files = open_shards(
        storage.open_folder(str(tmp_path / "set")), cache_dir=tmp_path / "cache", cache_mib=1
    )
    assert isinstance(files, LocalShards)
    shard = manifest.shards[0]
    assert files.acquire(shard).path == tmp_path / "set" / shard.name
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_local_shard_is_named(tmp_path, harm):
    manifest = write_set(tmp_path, noise(4, 8), shards=2)
    shard = manifest.shards[1]
    path = tmp_path / shard.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(data if harm == "flip" else data[:-1])
    with pytest.raises(DataError) as caught:
        LocalShards(storage.open_folder(str(tmp_path))).acquire(shard)
    assert shard.name in caught.value.what
    assert "catgan prepare" in caught.value.remedy


def test_an_object_that_is_not_the_manifests_is_refused(remote, tmp_path):
    _, folder, shards = remote
    data = bytearray(folder.read(shards[3].name))
    data[100] ^= 1
    folder.write(shards[3].name, bytes(data))
    with pytest.raises(DataError) as caught:
        cached(folder, tmp_path, shards, 4).acquire(shards[3])
    assert folder.address_of(shards[3].name) in caught.value.what
    folder.delete(shards[4].name)
    with pytest.raises(DataError, match="is missing"):
        cached(folder, tmp_path, shards, 4).acquire(shards[4])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_fetched_again(remote, tmp_path):
    _, folder, shards = remote
    lease = cached(folder, tmp_path, shards, 4).acquire(shards[0])
    with lease.path.open("r+b") as stream:
        stream.seek(50)
        stream.write(b"harm")
    again = cached(folder, tmp_path, shards, 4).acquire(shards[0])
    assert content(again) == shards[0].sha256


def test_a_set_ten_times_the_cache_streams_within_the_bound(remote, tmp_path):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 2)
    for shard in shards * 2:
        with files.acquire(shard) as lease:
            assert content(lease) == shard.sha256
        assert files._files.used_bytes() <= files.capacity_bytes
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_read_is_not_evicted_and_what_was_used_last_stays(remote, tmp_path):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 3)
    held = files.acquire(shards[0])
    for shard in shards[1:3]:
        files.acquire(shard).close()
        time.sleep(0.01)
    files.acquire(shards[1]).close()
    files.acquire(shards[3]).close()
    assert held.path.exists()
    assert files._files.path_of(shards[1].sha256).exists()
    assert not files._files.path_of(shards[2].sha256).exists()


def test_a_full_cache_waits_for_a_reader(remote, tmp_path):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 2)
    held = [files.acquire(shard) for shard in shards[:2]]
    assert files.try_acquire(shards[2]) is Wait.FULL
    got = []
    thread = threading.Thread(target=lambda: got.append(files.acquire(shards[2])))
    thread.start()
    held[0].close()
    thread.join(30)
    assert content(got[0]) == shards[2].sha256
    assert held[1].path.exists()


def test_a_cache_that_stays_full_says_so(remote, tmp_path, monkeypatch):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 2)
    held = [files.acquire(shard) for shard in shards[:2]]
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.1")
    with pytest.raises(ConfigError, match="all room is taken") as caught:
        files.acquire(shards[2])
    assert "dataset.cache_mib" in caught.value.remedy
    assert len(held) == 2


def test_a_download_of_another_that_hangs_is_not_for_want_of_room(remote, tmp_path, monkeypatch):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 20)
    part = files._files.reserve(shards[0].sha256, shards[0].bytes)
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.1")
    with pytest.raises(StorageError, match="on its way") as caught:
        files.acquire(shards[0])
    assert "cache_mib" not in str(caught.value)
    assert "dataset.cache_dir" in caught.value.remedy
    part.drop()


def test_a_cache_too_small_for_two_shards_is_refused(remote, tmp_path):
    _, folder, shards = remote
    with pytest.raises(ConfigError, match="room for two shards"):
        cached(folder, tmp_path, shards, 1).check_capacity(max(shard.bytes for shard in shards))


def test_a_cache_folder_that_cannot_be_is_refused(remote, tmp_path):
    _, folder, shards = remote
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cache folder"):
        cached(folder, tmp_path / "file", shards, 4).acquire(shards[0])


READER = """
import hashlib, json, random, sys
from trainer import storage
from trainer.data.cache import CachedShards
from trainer.data.shards import read_manifest
address, cache, mib, seed = sys.argv[1:]
folder = storage.open_folder(address)
files = CachedShards(folder, cache, float(mib))
shards, bad = read_manifest(folder).split("train"), 0
chosen = random.Random(seed)
for _ in range(60):
    shard = chosen.choice(shards)
    with files.acquire(shard) as lease:
        bad += hashlib.sha256(lease.path.read_bytes()).hexdigest() != shard.sha256
    bad += files._files.used_bytes() > files.capacity_bytes
print(json.dumps({"bad": bad}))
"""


def test_processes_share_a_cache_that_is_too_small_for_them(remote, tmp_path):
    bucket, folder, shards = remote
    mib = 4 * max(shard.bytes for shard in shards) / MIB
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, folder.address, str(tmp_path), str(mib), str(seed)],
            env=bucket.env(PYTHONPATH=os.getcwd()),
            stdout=subprocess.PIPE,
        )
        for seed in range(3)
    ]
    for reader in readers:
        assert json.loads(reader.communicate(timeout=60)[0]) == {"bad": 0}
    assert not list(tmp_path.glob("*.part"))


def test_shards_are_fetched_before_they_are_taken(remote, tmp_path):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 8)
    prefetcher = Prefetcher(files, iter(shards))
    # Half of the cache is fetched ahead, and no more.
    until(lambda: len(list(tmp_path.glob("*.tfrecord"))) == 4)
    for shard in shards:
        with prefetcher.take(shard) as lease:
            assert content(lease) == shard.sha256
    prefetcher.close()
    assert files._files.used_bytes() <= files.capacity_bytes


def test_shards_may_be_taken_in_another_order_than_expected(remote, tmp_path):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 6)
    prefetcher = Prefetcher(files, iter(shards + shards))
    for shard in shards[::-1] + shards[5:] + shards[:5]:
        with prefetcher.take(shard) as lease:
            assert content(lease) == shard.sha256
    assert not prefetcher._ahead
    prefetcher.close()


def test_a_shard_fetched_ahead_is_given_up_for_one_that_is_due(remote, tmp_path):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 4)
    prefetcher = Prefetcher(files, iter(shards[:2]))
    until(lambda: all(isinstance(entry.lease, Lease) for entry in prefetcher._ahead))
    held = [files.acquire(shard) for shard in shards[4:6]]
    due = files.acquire(shards[6])
    assert content(due) == shards[6].sha256
    due.close()
    for shard in shards[:2]:
        assert content(prefetcher.take(shard)) == shard.sha256
    assert len(held) == 2
    prefetcher.close()


def test_whoever_takes_a_shard_hears_why_it_could_not_be_fetched(remote, tmp_path):
    _, folder, shards = remote
    folder.delete(shards[1].name)
    prefetcher = Prefetcher(cached(folder, tmp_path, shards, 8), iter(shards))
    prefetcher.take(shards[0])
    with pytest.raises(DataError, match=r"train-00001-of-00020\.tfrecord is missing"):
        prefetcher.take(shards[1])
    prefetcher.take(shards[2])
    prefetcher.close()


def test_closing_gives_up_all_leases(remote, tmp_path):
    _, folder, shards = remote
    files = cached(folder, tmp_path, shards, 8)
    prefetcher = Prefetcher(files, iter(shards))
    until(lambda: len(list(tmp_path.glob("*.tfrecord"))) == 4)
    prefetcher.close()
    until(lambda: not [t for t in threading.enumerate() if t in prefetcher._threads])
    # All of the cache can be held by others now.
    assert len([files.acquire(shard) for shard in shards[10:18]]) == 8


def test_the_manifest_of_the_helper_is_a_real_one(remote):
    _, folder, shards = remote
    assert read_manifest(folder).split("train") == shards
