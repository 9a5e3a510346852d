"""Batches from pictures kept decoded in memory.

Owns the array of all training pictures and the gathering of batches from it.
Does not own the order (`order.py`); which sets are kept in memory is decided
in `stream.py`.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from trainer.data.cache import CachedShards, LocalShards
from trainer.data.order import Order, rows_of
from trainer.data.shards import Manifest
from trainer.data.stream_decode import decoded_batches, images_of, read_records
from trainer.data.stream_shards import FileReader, asked

_LOAD_ROWS = 64
_ALIGNMENT = 64  # of TensorFlow's own buffers
# Python is asked for the order of this many steps at once, or of an epoch.
_BLOCK_STEPS = 16


def decoded_bytes(manifest: Manifest) -> int:
    """Returns how many bytes the training pictures take, decoded."""
    return manifest.counts.train * manifest.size_px**2 * 3


def load_pictures(
    manifest: Manifest, files: LocalShards | CachedShards, heard: Callable[[Exception], None]
) -> np.ndarray:
    """Returns uint8 `[records, H, W, 3]`: all training pictures, in the manifest's order."""
    shards = manifest.split("train")
    reader = FileReader(files, iter(shards))

    def open_shard(number):
        shard = shards[number] if number < len(shards) else None
        return asked(heard, lambda: reader.open(0, shard))

    def path_of(number):
        return tf.ensure_shape(tf.numpy_function(open_shard, [number], tf.string), [None])

    paths = tf.data.Dataset.range(len(shards) + 1).map(path_of)
    images = paths.flat_map(read_records).batch(_LOAD_ROWS).map(images_of).unbatch()
    batches = decoded_batches(
        images, manifest.encoding, manifest.size_px, _LOAD_ROWS, remainder=True
    )
    pictures = _aligned((manifest.counts.train, manifest.size_px, manifest.size_px, 3))
    filled = 0
    try:
        for batch in batches.prefetch(1).as_numpy_iterator():
            pictures[filled : filled + len(batch)] = batch
            filled += len(batch)
    finally:
        reader.close()
    return pictures


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Returns an uninitialized uint8 array that TensorFlow can use as it lies."""
    size = int(np.prod(shape))
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].reshape(shape)


def _shared(pictures: np.ndarray):
    """Returns the array as a tensor on the host: the same memory where that can be.

    A copy would need twice the memory while it is made.
    """
    if pictures.ctypes.data % _ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(pictures.__dlpack__())
    with tf.device("CPU:0"):
        return tf.constant(pictures)


class MemoryStream:
    """The training split from an array.

    Args:
        pictures: uint8 `[records, H, W, 3]`.
    """

    def __init__(self, pictures: np.ndarray) -> None:
        self._tensor = _shared(pictures)

    def batches(self, order: Order, *, rank: int, world_size: int, first_step: int):
        """Returns an endless dataset of uint8 `[replica_batch, H, W, 3]`; see `Dataset.batches`."""
        rows = rows_of(rank, world_size, order.lanes, order.global_batch)
        block_steps = max(_BLOCK_STEPS, order.count // order.global_batch)

        def blocks() -> Iterator[np.ndarray]:
            for begin in itertools.count(first_step, block_steps):
                yield order.batches(begin, block_steps)[:, rows]

        # The next block is drawn while this one is used.
        picks = tf.data.Dataset.from_generator(
            blocks, output_signature=tf.TensorSpec((block_steps, len(rows)), tf.int64)
        ).prefetch(1)
        with tf.device("CPU:0"):
            return picks.unbatch().map(lambda pick: tf.gather(self._tensor, pick))
