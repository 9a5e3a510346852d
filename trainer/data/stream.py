"""A data set as batches of pictures: the door for everything that trains.

Owns opening a data set, the choice between memory and shards, and what every
stream has in common. The two ways of making batches are `stream_memory.py` and
`stream_shards.py`; both give the same batches, by `order.py`.

Pictures leave as uint8, `[replica_batch, H, W, 3]`, unflipped: scaling and
flips belong to the training step.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer import storage
from trainer.data.cache import MIB, CachedShards, LocalShards, open_shards
from trainer.data.order import Order, check_world_size, rows_of
from trainer.data.shards import (
    Manifest,
    Shard,
    Split,
    checked_manifest,
    read_example,
    read_frames,
)
from trainer.data.stream_decode import decoder
from trainer.data.stream_memory import MemoryStream, decoded_bytes, load_pictures
from trainer.data.stream_shards import ShardStream
from trainer.errors import CatganError, DataError
from trainer.storage.user_cache import user_cache_folder

log = logging.getLogger("catgan.data")

# Decoded batches that wait for the training step.
READY_BATCHES = 4


def open_dataset(
    address: str | Path,
    *,
    cache_mib: float = 4096,
    memory_mib: float = 2048,
    cache_dir: str | Path = "",
    threads: int | None = None,
) -> "Dataset":
    """Opens a data set that `catgan prepare` wrote.

    Args:
        address: Folder or `gs://bucket/prefix`.
        cache_mib: Most MiB of shards of a bucket that are kept on this machine.
        memory_mib: Training pictures that take no more MiB decoded than this
            are kept in memory; 0 for never.
        cache_dir: Folder for those shards, unused for a local data set; empty: in the user's cache.
        threads: Threads that read and decode; TensorFlow's shared ones if None.

    Raises:
        DataError: There is no data set, or it is damaged.
        ConfigError: The cache is too small for its shards.
        StorageError: It cannot be reached.
    """
    folder = storage.open_folder(address)
    manifest = checked_manifest(folder)
    place = cache_dir or user_cache_folder()
    files = open_shards(folder, cache_dir=place, cache_mib=cache_mib)
    if isinstance(files, CachedShards):
        files.check_capacity(max(shard.bytes for shard in manifest.shards))
    return Dataset(folder, manifest, files, memory_mib=memory_mib, threads=threads)


class Dataset:
    """An open data set.

    Attributes:
        address: Canonical address.
        manifest: What it holds.
        in_memory: Whether its training pictures are kept decoded in memory,
            from the first call of `batches` on.
    """

    def __init__(
        self,
        folder: storage.Folder,
        manifest: Manifest,
        files: LocalShards | CachedShards,
        *,
        memory_mib: float,
        threads: int | None = None,
    ) -> None:
        self.address = folder.address
        self.manifest = manifest
        self.in_memory = decoded_bytes(manifest) <= memory_mib * MIB
        self._files = files
        self._threads = threads
        self._memory: MemoryStream | None = None
        self._shards = ShardStream(manifest, files, self._hear)
        self._heard: CatganError | None = None

    @property
    def fingerprint(self) -> str:
        """Hash over what determines the pictures and their places."""
        return self.manifest.fingerprint

    @property
    def train_count(self) -> int:
        """Number of training pictures."""
        return self.manifest.counts.train

    @property
    def size_px(self) -> int:
        """Height and width of every picture."""
        return self.manifest.size_px

    # Nothing here is Python control flow over tensors; looking for it takes longer
    # than building the graph.
    @tf.autograph.experimental.do_not_convert
    def batches(
        self,
        *,
        seed: int,
        global_batch: int,
        lanes: int,
        rank: int = 0,
        world_size: int = 1,
        first_step: int = 0,
        steps: int | None = None,
    ) -> tf.data.Dataset:
        """Returns one worker's rows of each global step, in order.

        Element k is the rows `order.rows_of(rank, world_size, lanes,
        global_batch)` of the batch of global step `first_step + k`, counted
        from 0. It depends on the fingerprint, `seed`, `global_batch`, `lanes`
        and the step alone.

        Args:
            seed: Seed of the run.
            global_batch: Rows of a step over all workers.
            lanes: Lanes of the run; divides `global_batch`.
            rank: Number of this worker.
            world_size: Number of workers, at most `lanes`.
            first_step: Step to begin with.
            steps: Number of batches; None for no end.

        Returns:
            Dataset of uint8 `[replica_batch, H, W, 3]`. What goes wrong while
            it is iterated comes out as an error of TensorFlow; `explain` says
            what it was.

        Raises:
            ConfigError: Batch, lanes and workers do not go together.
            DataError, StorageError: A set that is kept in memory cannot be read.
        """
        order = self.order(seed=seed, global_batch=global_batch, lanes=lanes)
        check_world_size(world_size, lanes, global_batch)
        rows_of(rank, world_size, lanes, global_batch)  # refuses ranks that do not exist
        if first_step < 0:
            raise ValueError(f"first_step is {first_step}, below 0")
        stream = self._load() if self.in_memory else self._shards
        batches = stream.batches(order, rank=rank, world_size=world_size, first_step=first_step)
        if steps is not None:
            batches = batches.take(steps)
        return batches.prefetch(READY_BATCHES).with_options(self._options())

    def order(self, *, seed: int, global_batch: int, lanes: int) -> Order:
        """Returns the order of the training pictures under these settings."""
        return Order(
            [shard.records for shard in self.manifest.split("train")],
            fingerprint=self.fingerprint,
            seed=seed,
            global_batch=global_batch,
            lanes=lanes,
        )

    def pictures(self, split: Split, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns uint8 `[n, H, W, 3]`: records of a split by number, in the order asked for.

        Raises:
            DataError: The split has no such record, or it cannot be read.
        """
        result = np.empty((len(indices), self.size_px, self.size_px, 3), np.uint8)
        for place, image, _, shard in self._chosen(split, indices):
            result[place] = self._decode(image, shard)
        return result

    def names(self, split: Split, indices: Sequence[int] | np.ndarray) -> list[str]:
        """Returns the ids of records by number: the pictures' names in their source.

        Raises:
            DataError: As `pictures`.
        """
        found = {place: name for place, _, name, _ in self._chosen(split, indices)}
        return [found[place] for place in range(len(indices))]

    def _chosen(
        self, split: Split, indices: Sequence[int] | np.ndarray
    ) -> Iterator[tuple[int, bytes, str, Shard]]:
        """Yields place in `indices`, encoded picture, id and shard, each shard read once."""
        wanted = np.asarray(indices, dtype=np.int64)
        shards = self.manifest.split(split)
        ends = np.cumsum([shard.records for shard in shards], dtype=np.int64)
        count = int(ends[-1]) if len(ends) else 0
        if wanted.size and (wanted.min() < 0 or wanted.max() >= count):
            raise DataError(
                f"picture {wanted.max() if wanted.max() >= count else wanted.min()} of {split} "
                f"was asked for, and {self.address} has {count}",
                expected=f"numbers from 0 to {count - 1}" if count else f"pictures in {split}",
                remedy="ask for fewer pictures, or prepare the set with another --val-fraction",
            )
        owners = np.searchsorted(ends, wanted, side="right")
        for owner in np.unique(owners):
            shard = shards[owner]
            records = self._records(shard)
            for place in np.flatnonzero(owners == owner):
                number = int(wanted[place] - (ends[owner] - shard.records))
                yield int(place), *records[number], shard

    def explain(self, error: Exception) -> Exception:
        """Returns what really went wrong when iterating raised `error`.

        Errors pass through TensorFlow's graph as text; this gives the
        `DataError` or `StorageError` behind one, or `error` itself.
        """
        if isinstance(error, tf.errors.OpError) and self._heard is not None:
            return self._heard
        # The model raises InvalidArgumentError as well; only the iterator's is about records.
        if isinstance(error, tf.errors.DataLossError) or (
            isinstance(error, tf.errors.InvalidArgumentError) and "IteratorGetNext" in str(error)
        ):
            return DataError(
                f"a record of {self.address} cannot be read: {error.message.splitlines()[0]}",
                expected=f"{self.manifest.encoding} pictures of {self.size_px} px",
                remedy=f"prepare it anew: remove {self.address} first",
            )
        return error

    def _hear(self, error: Exception) -> None:
        if self._heard is None and isinstance(error, CatganError):
            self._heard = error

    def _load(self) -> MemoryStream:
        if self._memory is None:
            try:
                self._memory = MemoryStream(load_pictures(self.manifest, self._files, self._hear))
            except tf.errors.OpError as error:
                raise self.explain(error) from error
            log.info("%d pictures are kept in memory", self.train_count)
        return self._memory

    def _records(self, shard: Shard) -> list[tuple[bytes, str]]:
        with self._files.acquire(shard) as lease:
            data = lease.path.read_bytes()
        return [read_example(record) for record in read_frames(data, shard.name)]

    def _decode(self, image: bytes, shard: Shard) -> np.ndarray:
        try:
            with tf.device("CPU:0"):
                return decoder(self.manifest.encoding, self.size_px)(tf.constant(image)).numpy()
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise DataError(
                f"a picture in {self.address}/{shard.name} cannot be decoded",
                expected=f"{self.manifest.encoding} of {self.size_px} px",
                remedy=f"prepare it anew: remove {self.address} first",
            ) from error

    def _options(self) -> tf.data.Options:
        options = tf.data.Options()
        options.deterministic = True
        # Each worker reads its own rows already.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        if self._threads:
            options.threading.private_threadpool_size = self._threads
        return options
