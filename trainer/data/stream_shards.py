"""Batches from shards as they lie on disk or in a bucket, in bounded memory.

Owns the way from the order's windows to batches: for each lane, read the
shards of its next window while the window before it is used, put the window's
records in order, and take one record from each lane in turn. Does not own the
order (`order.py`), nor where shards come from (`cache.py`, `prefetch.py`).

Python is asked once for each window and once for each shard of it. What is
kept between those questions belongs to one iterator of the dataset, so a
dataset may be iterated twice, and at the same time. Memory: two windows of
each of the worker's lanes, encoded, and a few decoded batches.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from trainer.data.cache import CachedShards, LocalShards
from trainer.data.cache_folder import Lease
from trainer.data.order import Order, Window, lanes_of
from trainer.data.prefetch import Prefetcher
from trainer.data.shards import Manifest, Shard
from trainer.data.stream_decode import decoded_batches, images_of, read_records

_ENDLESS = np.iinfo(np.int64).max


class FileReader:
    """Gives shards as files, one after the other, each until the next is asked for.

    Args:
        files: Where shards come from.
        upcoming: What `open` will be asked for, in about that order.
    """

    def __init__(self, files: LocalShards | CachedShards, upcoming: Iterator[Shard]) -> None:
        self._prefetcher = Prefetcher(files, upcoming) if isinstance(files, CachedShards) else None
        self._take = self._prefetcher.take if self._prefetcher else files.acquire
        self._leases: dict[int, Lease] = {}
        self._closed = False

    def open(self, slot: int, shard: Shard | None) -> np.ndarray:
        """Returns the path of `shard` in an array, empty for None.

        Whatever was opened under the same `slot` before is given up first.
        """
        lease = self._leases.pop(slot, None)
        if lease is not None:
            lease.close()
        if shard is None or self._closed:
            return np.asarray([], dtype=object)
        lease = self._take(shard)
        self._leases[slot] = lease
        return np.asarray([str(lease.path).encode()], dtype=object)

    def close(self) -> None:
        """Gives everything up."""
        self._closed = True
        if self._prefetcher:
            self._prefetcher.close()
        while self._leases:
            self._leases.popitem()[1].close()


def asked(heard: Callable[[Exception], None], question: Callable):
    """Returns the answer to a question from inside a graph.

    Args:
        heard: Called with its error, which TensorFlow would pass on as text only.
        question: What is called.
    """
    try:
        return question()
    except Exception as error:
        heard(error)
        raise


class _Walk:
    """Where one iterator is, in each of its lanes."""

    def __init__(
        self,
        files: LocalShards | CachedShards,
        shards: Sequence[Shard],
        order: Order,
        lanes: np.ndarray,
        first_slot: int,
    ) -> None:
        self._shards = shards
        self._windows = {lane: order.windows(lane, first_slot) for lane in lanes.tolist()}
        self._inside: dict[int, tuple[int, ...]] = {}
        ahead = [order.windows(lane, first_slot) for lane in lanes.tolist()]
        self.reader = FileReader(files, _in_order_of_use(ahead, shards))

    def next_window(self, lane: int) -> tuple[np.int64, np.int64, np.ndarray]:
        """Returns the number of shards to read, of records in them, and the picks."""
        window = next(self._windows[lane])
        self._inside[lane] = window.shards
        records = sum(self._shards[shard].records for shard in window.shards)
        return np.int64(len(window.shards)), np.int64(records), window.picks

    def open_shard(self, lane: int, number: int) -> np.ndarray:
        """Returns the path of one shard of the lane's window; one past the last: none."""
        inside = self._inside[lane]
        shard = self._shards[inside[number]] if number < len(inside) else None
        return self.reader.open(lane, shard)


def _in_order_of_use(ahead: list[Iterator[Window]], shards: Sequence[Shard]) -> Iterator[Shard]:
    for window in heapq.merge(*ahead, key=lambda window: (window.slot, window.lane)):
        yield from (shards[number] for number in window.shards)


class Registry:
    """Objects that functions inside a graph call by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._objects: dict[int, object] = {}
        self._lock = threading.Lock()

    def add(self, item: object) -> int:
        """Keeps `item` and returns its number."""
        with self._lock:
            number = next(self._numbers)
            self._objects[number] = item
            return number

    def remove(self, number: int) -> None:
        """Forgets an item."""
        with self._lock:
            self._objects.pop(number, None)

    def __getitem__(self, number: int):
        return self._objects[int(number)]


class ShardStream:
    """The training split, read window by window.

    Args:
        manifest: Manifest of the data set.
        files: Its shards.
        heard: Called with every error of Python code inside the graph, see `asked`.
    """

    def __init__(
        self,
        manifest: Manifest,
        files: LocalShards | CachedShards,
        heard: Callable[[Exception], None],
    ) -> None:
        self._manifest, self._files, self._heard = manifest, files, heard
        self._walks = Registry()

    def batches(self, order: Order, *, rank: int, world_size: int, first_step: int):
        """Returns an endless dataset of uint8 `[replica_batch, H, W, 3]`; see `Dataset.batches`."""
        lanes = lanes_of(rank, world_size, order.lanes)
        each = order.global_batch // order.lanes
        shards = self._manifest.split("train")

        def walks() -> Iterator[int]:
            walk = _Walk(self._files, shards, order, lanes, first_step * each)
            number = self._walks.add(walk)
            try:
                yield number
            finally:
                # Also when the iterator is given up: nothing stays open then.
                self._walks.remove(number)
                walk.reader.close()

        def images(walk):
            # One record of each lane in turn: rows in ascending order.
            return tf.data.Dataset.from_tensor_slices(lanes).interleave(
                lambda lane: self._lane(walk, lane),
                cycle_length=len(lanes),
                block_length=1,
                num_parallel_calls=None,
            )

        walk = tf.data.Dataset.from_generator(walks, output_signature=tf.TensorSpec((), tf.int64))
        return decoded_batches(
            walk.flat_map(images),
            self._manifest.encoding,
            self._manifest.size_px,
            each * len(lanes),
        )

    def _lane(self, walk, lane):
        """Returns an endless dataset of the encoded pictures of one lane."""

        def next_window(walk, lane):
            return asked(self._heard, lambda: self._walks[walk].next_window(int(lane)))

        def open_shard(walk, lane, number):
            return asked(self._heard, lambda: self._walks[walk].open_shard(int(lane), int(number)))

        def window_of(_):
            shards, records, picks = tf.numpy_function(
                next_window, [walk, lane], [tf.int64, tf.int64, tf.int64]
            )
            return tf.ensure_shape(shards, []), tf.ensure_shape(records, []), picks

        def path_of(number):
            path = tf.numpy_function(open_shard, [walk, lane, number], tf.string)
            return tf.ensure_shape(path, [None])

        def images_in_order(shards, records, picks):
            # One past the last, so that the last file is given up as well; and
            # a batch of one more than there are, so that it gets asked for.
            paths = tf.data.Dataset.range(shards + 1).map(path_of)
            whole = paths.flat_map(read_records).batch(records + 1)
            return whole.map(lambda found: tf.gather(images_of(found), picks))

        windows = tf.data.Dataset.range(_ENDLESS).map(window_of).flat_map(images_in_order)
        return windows.prefetch(1).unbatch()
