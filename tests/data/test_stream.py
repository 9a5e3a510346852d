"""The stream: the order's pictures, wherever they lie and whoever asks for them."""

import gc
import os
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.data.small_sets import noise, write_set
from trainer.data.order import default_lanes, rows_of
from trainer.data.shards import fingerprint
from trainer.data.stream import open_dataset
from trainer.errors import ConfigError, DataError

COUNT, SIZE = 70, 16
SETTINGS = {"seed": 5, "global_batch": 12, "lanes": 4}


def opened(address, tmp_path, *, memory_mib=0.0, cache_mib=8.0):
    return open_dataset(
        str(address), cache_mib=cache_mib, memory_mib=memory_mib, cache_dir=tmp_path / "cache"
    )


def taken(source, steps=9, **settings):
    batches = source.batches(steps=steps, **{**SETTINGS, **settings})
    return np.stack(list(batches.as_numpy_iterator()))


@pytest.fixture(scope="module")
def pictures():
    return noise(COUNT, SIZE)


@pytest.fixture(scope="module")
def sets(tmp_path_factory, pictures):
    """A data set of each encoding."""
    folder = tmp_path_factory.mktemp("sets")
    for encoding in ("png", "jpeg", "raw"):
        write_set(folder / encoding, pictures, shards=6, encoding=encoding, validation=6)
    return folder


@pytest.fixture(scope="module")
def expected(sets, pictures):
    """The first 40 batches, from the order and the pictures themselves."""
    source = opened(sets / "png", sets)
    return pictures[source.order(**SETTINGS).batches(0, 40)]


@pytest.mark.parametrize("memory_mib", [0, 10], ids=["shards", "memory"])
@pytest.mark.parametrize("first_step", [0, 1, 31])
def test_batches_are_the_orders_pictures(sets, tmp_path, expected, memory_mib, first_step):
    source = opened(sets / "png", tmp_path, memory_mib=memory_mib)
    assert source.in_memory == bool(memory_mib)
    batches = taken(source, first_step=first_step)
    assert batches.dtype == np.uint8
    assert np.array_equal(batches, expected[first_step : first_step + 9])


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_memory_and_shards_give_the_same_batches(sets, tmp_path, encoding):
    shards, memory = (opened(sets / encoding, tmp_path, memory_mib=m) for m in (0, 10))
    first_step = 10**9
    batches = taken(memory, first_step=first_step)
    assert np.array_equal(batches, taken(shards, first_step=first_step))
    records = memory.order(**SETTINGS).batches(first_step, 9)
    assert np.array_equal(batches[4], memory.pictures("train", records[4]))


@pytest.mark.parametrize("memory_mib", [0, 10], ids=["shards", "memory"])
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_workers_share_the_rows_of_one(sets, tmp_path, expected, world_size, memory_mib):
    source = opened(sets / "png", tmp_path, memory_mib=memory_mib)
    whole = np.zeros_like(expected[3:8])
    for rank in range(world_size):
        rows = rows_of(rank, world_size, 4, 12)
        whole[:, rows] = taken(source, 5, first_step=3, rank=rank, world_size=world_size)
    assert np.array_equal(whole, expected[3:8])


def test_a_worker_reads_only_the_shards_of_its_lanes(tmp_path):
    write_set(tmp_path / "set", noise(64, 8), shards=8, encoding="raw")
    source = opened(tmp_path / "set", tmp_path)
    read = set()
    acquire = source._files.acquire
    source._files.acquire = lambda shard: read.add(shard.name) or acquire(shard)
    order = source.order(seed=0, global_batch=4, lanes=4)
    taken(source, 1, seed=0, global_batch=4, rank=1, world_size=4)
    windows = next(order.windows(1))
    due = {source.manifest.split("train")[number].name for number in windows.shards}
    # Windows are read one ahead, so those of the next epoch may be there too.
    assert due <= read
    assert len(read) <= 4


@pytest.mark.parametrize("memory_mib", [0, 10], ids=["shards", "memory"])
@pytest.mark.parametrize("count", [1, 5])
def test_sets_smaller_than_a_batch(tmp_path, count, memory_mib):
    pictures = noise(count, 8)
    write_set(tmp_path / "set", pictures)
    source = opened(tmp_path / "set", tmp_path, memory_mib=memory_mib)
    batches = taken(source, 20)
    assert batches.shape == (20, 12, 8, 8, 3)
    assert np.array_equal(batches, pictures[source.order(**SETTINGS).batches(0, 20)])


@pytest.mark.parametrize("batch", [1, 7, 24])
def test_any_batch_has_lanes(sets, tmp_path, pictures, batch):
    source = opened(sets / "png", tmp_path)
    settings = {"seed": 1, "global_batch": batch, "lanes": default_lanes(batch)}
    batches = taken(source, 12, **settings)
    assert np.array_equal(batches, pictures[source.order(**settings).batches(0, 12)])


def test_two_iterators_do_not_disturb_each_other(sets, tmp_path, expected):
    batches = opened(sets / "png", tmp_path).batches(**SETTINGS)
    one, two = batches.as_numpy_iterator(), batches.as_numpy_iterator()
    for step in range(12):
        assert np.array_equal(next(one), expected[step])
        if step % 3 == 0:
            assert np.array_equal(next(two), expected[step // 3])


def test_an_abandoned_iterator_leaves_nothing_open(sets, tmp_path, bucket, pictures):
    address = f"{bucket.address}/cats"
    write_set(address, pictures, shards=6)
    source = opened(address, tmp_path)
    iterator = iter(source.batches(**SETTINGS))
    next(iterator)
    assert [t for t in threading.enumerate() if t.name.startswith("shard-download")]
    del iterator
    end = time.monotonic() + 30
    while [t for t in threading.enumerate() if t.name.startswith("shard-download")] or (
        str(tmp_path) in " ".join(map(_target, os.listdir("/proc/self/fd")))
    ):
        gc.collect()
        assert time.monotonic() < end
        time.sleep(0.05)


def _target(descriptor):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


FAULTS = {
    "none": {},
    "every third request answers 503": {"kind": "status", "status": 503, "every": 3},
    "connections are reset": {"kind": "reset", "every": 4},
    "answers stall": {"kind": "stall", "secs": 0.1, "every": 2},
    "bodies stall": {"kind": "stall_body", "secs": 0.1, "every": 3},
    "bodies are cut": {"kind": "cut", "every": 3},
    "a bit is flipped": {"kind": "flip", "every": 4},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("memory_mib", [0, 10], ids=["shards", "memory"])
def test_a_bucket_gives_the_same_batches(
    bucket, tmp_path, pictures, expected, sets, fault, memory_mib
):
    address = f"{bucket.address}/sets/cats"
    manifest = write_set(address, pictures, shards=6, validation=6)
    assert manifest.fingerprint == opened(sets / "png", tmp_path).fingerprint
    if FAULTS[fault]:
        bucket.faults.add(**FAULTS[fault])
    source = opened(address, tmp_path, memory_mib=memory_mib)
    assert np.array_equal(taken(source, 20), expected[:20])


def test_a_bucket_ten_times_the_cache_streams_through_it(bucket, tmp_path):
    pictures = noise(320, 32)
    address = f"{bucket.address}/cats"
    manifest = write_set(address, pictures, shards=40, encoding="raw")
    size_mib = sum(shard.bytes for shard in manifest.shards) / 2**20
    source = opened(address, tmp_path, cache_mib=size_mib / 10)
    order, largest, used = source.order(**SETTINGS).batches(0, 60), 0, source._files._files
    for step, batch in enumerate(source.batches(steps=60, **SETTINGS).as_numpy_iterator()):
        assert np.array_equal(batch, pictures[order[step]])
        largest = max(largest, used.used_bytes())
    assert 0 < largest <= source._files.capacity_bytes


@pytest.mark.parametrize("memory_mib", [0, 10], ids=["shards", "memory"])
def test_a_damaged_shard_is_named(tmp_path, memory_mib):
    manifest = write_set(tmp_path / "set", noise(40, 8), shards=4)
    shard = manifest.shards[2]
    path = tmp_path / "set" / shard.name
    path.write_bytes(path.read_bytes()[:-3] + b"bad")
    source = opened(tmp_path / "set", tmp_path, memory_mib=memory_mib)
    with pytest.raises((DataError, tf.errors.OpError)) as caught:
        taken(source)
    error = source.explain(caught.value)
    assert isinstance(error, DataError)
    assert shard.name in error.what
    assert "prepare" in error.remedy


def test_pictures_that_are_not_what_the_manifest_says_are_an_error(tmp_path):
    manifest = write_set(tmp_path / "set", noise(8, 8), shards=2)
    lie = {"size_px": 16, "fingerprint": fingerprint(16, "png", manifest.shards)}
    path = tmp_path / "set" / "manifest.json"
    path.write_bytes(manifest.model_copy(update=lie).to_json())
    source = opened(tmp_path / "set", tmp_path)
    with pytest.raises(tf.errors.OpError) as caught:
        taken(source)
    assert isinstance(source.explain(caught.value), DataError)
    with pytest.raises(DataError, match="cannot be decoded"):
        source.pictures("train", [0])


def test_errors_that_are_not_ours_stay_what_they_are(sets, tmp_path):
    error = RuntimeError("something else")
    assert opened(sets / "png", tmp_path).explain(error) is error


@pytest.mark.parametrize("memory_mib", [0, 10], ids=["shards", "memory"])
def test_single_pictures(sets, tmp_path, pictures, memory_mib):
    source = opened(sets / "png", tmp_path, memory_mib=memory_mib)
    assert np.array_equal(source.pictures("train", [63, 0, 7, 7]), pictures[[63, 0, 7, 7]])
    assert np.array_equal(source.pictures("validation", [5, 1]), pictures[[69, 65]])
    assert source.pictures("train", []).shape == (0, SIZE, SIZE, 3)
    for wanted in ([64], [-1]):
        with pytest.raises(DataError, match="was asked for"):
            source.pictures("train", wanted)


def test_settings_that_do_not_go_together_are_refused(sets, tmp_path):
    source = opened(sets / "png", tmp_path)
    for wrong in ({"lanes": 5}, {"world_size": 5}, {"rank": 1}):
        with pytest.raises(ConfigError):
            source.batches(**{**SETTINGS, **wrong})


def test_a_missing_set_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no data set|no manifest"):
        opened(tmp_path / "nothing", tmp_path)


def test_a_cache_smaller_than_two_shards_is_refused(bucket, tmp_path):
    address = f"{bucket.address}/cats"
    write_set(address, noise(40, 32), shards=2, encoding="raw")
    with pytest.raises(ConfigError, match=r"dataset\.cache_mib"):
        opened(address, tmp_path, cache_mib=0.05)
