"""The order of the pictures, as a function of numbers.

Owns which record stands in row i of global step s, and which lane, worker and
shards it comes from. Knows no files, no pictures and no TensorFlow: records
and shards are numbers here. Record n is the n-th of the split, shard by shard
as the manifest lists them.

How it works. With `global_batch` B, row i of step s is *position* s * B + i;
positions run on for ever. Epoch e is exactly the positions e * N to
(e + 1) * N - 1 of a set of N records, so a batch may hold the end of one epoch
and the beginning of the next. Position t belongs to *lane* t mod lanes, and is
*slot* t div lanes of it: because lanes divide B, that is the lane of row i in
every step. So where a lane's epochs begin is a formula, lanes hold equal
numbers of records to within one in each epoch, and nothing drifts however many
epochs pass. What each epoch deals to each lane is in `trainer.data.deal`.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainer import seeds
from trainer.config import Config
from trainer.data.deal import Deal, Piece, deal_epoch
from trainer.errors import ConfigError, DataError

# A lane holds this many shards in memory at once and shuffles their records
# together. Part of the order: another value gives other batches.
WINDOW_SHARDS = 2

# Lanes that a run gets when nobody asks for more: enough for 16 workers later.
USUAL_LANES = 16


@dataclass(frozen=True, eq=False)
class Window:
    """Records of a few shards, in the order in which one lane uses them.

    Attributes:
        lane: The lane that this window belongs to.
        slot: Slot of the lane at which the first record is used.
        shards: Shards to read, whole and in this order.
        picks: int64 `[n]`, where each record stands in the concatenation of
            those shards' records, in the order of use.
        records: int64 `[n]`, the same records as numbers of the whole split.
    """

    lane: int
    slot: int
    shards: tuple[int, ...]
    picks: np.ndarray
    records: np.ndarray


class Order:
    """The order of one split under one seed, global batch and number of lanes.

    Args:
        shard_records: Records of each shard, in the manifest's order.
        fingerprint: Fingerprint of the data set.
        seed: Seed of the run.
        global_batch: Rows of a step over all workers.
        lanes: Number of lanes; divides `global_batch`.

    Raises:
        ConfigError: `lanes` does not divide `global_batch`.
        DataError: There are no records.
    """

    def __init__(
        self,
        shard_records: Sequence[int],
        *,
        fingerprint: str,
        seed: int,
        global_batch: int,
        lanes: int,
    ) -> None:
        check_lanes(lanes, global_batch)
        self.shard_records = np.asarray(shard_records, dtype=np.int64)
        self.shard_starts = np.cumsum(self.shard_records) - self.shard_records
        self.count = int(self.shard_records.sum())
        if self.count == 0:
            raise DataError(
                "The data set has no training pictures",
                expected="at least one",
                remedy="prepare it again from a source with pictures, or with a smaller "
                "--val-fraction",
            )
        self.fingerprint = fingerprint
        self.seed = int(seed)
        self.global_batch = int(global_batch)
        self.lanes = int(lanes)
        # All lanes of a worker ask for the same epoch, at its end for two.
        self._deal = functools.lru_cache(maxsize=3)(self._deal_epoch)

    def _deal_epoch(self, epoch: int) -> Deal:
        targets = [
            self.lane_start(epoch + 1, lane) - self.lane_start(epoch, lane)
            for lane in range(self.lanes)
        ]
        return deal_epoch(self.shard_records, np.asarray(targets), self._shuffled, epoch)

    def _shuffled(self, count: int, what: str, *position: int) -> np.ndarray:
        return seeds.permutation(count, self.seed, f"order/{self.fingerprint}/{what}", *position)

    def lane_start(self, epoch: int, lane: int) -> int:
        """Returns the slot of `lane` at which it begins `epoch`."""
        return (epoch * self.count - lane + self.lanes - 1) // self.lanes

    def windows(self, lane: int, first_slot: int = 0) -> Iterator[Window]:
        """Yields the windows of one lane from `first_slot` on, without end.

        The first window is cut so that it begins at `first_slot`. Reaching it
        costs one deal of shards and one window, whatever `first_slot` is.
        """
        epoch = (first_slot * self.lanes + lane) // self.count
        while True:
            yield from self._epoch_windows(epoch, lane, first_slot)
            epoch += 1

    def _epoch_windows(self, epoch: int, lane: int, first_slot: int) -> Iterator[Window]:
        pieces = self._deal(epoch).pieces(lane)
        slot = self.lane_start(epoch, lane)
        for number, begin in enumerate(range(0, len(pieces), WINDOW_SHARDS)):
            inside = pieces[begin : begin + WINDOW_SHARDS]
            size = sum(piece.size for piece in inside)
            if slot + size > first_slot:
                skip = max(0, first_slot - slot)
                if len(inside) == 1 and inside[0].mixed:
                    # Of a tiny set this is all; a second shuffle would only cost time.
                    mixed = np.arange(size)
                else:
                    mixed = self._shuffled(size, "window", epoch, lane, number)
                yield self._window(lane, slot + skip, inside, mixed[skip:])
            slot += size

    def _window(self, lane: int, slot: int, pieces: list[Piece], mixed: np.ndarray) -> Window:
        picks, records, read = [], [], 0
        for piece in pieces:
            picks.append(piece.records + read)
            records.append(piece.records + self.shard_starts[piece.shard])
            read += int(self.shard_records[piece.shard])
        return Window(
            lane=lane,
            slot=slot,
            shards=tuple(piece.shard for piece in pieces),
            picks=np.concatenate(picks)[mixed],
            records=np.concatenate(records)[mixed],
        )

    def epoch_records(self, epoch: int) -> np.ndarray:
        """Returns int64 `[count]`: the record at each position of an epoch."""
        order = np.empty(self.count, np.int64)
        for lane in range(self.lanes):
            start = self.lane_start(epoch, lane)
            windows = self._epoch_windows(epoch, lane, start)
            records = [window.records for window in windows]
            if records:
                order[(start * self.lanes + lane) % self.count :: self.lanes] = np.concatenate(
                    records
                )
        return order

    def batches(self, first_step: int, steps: int) -> np.ndarray:
        """Returns int64 `[steps, global_batch]`: the record of each row and step."""
        begin = first_step * self.global_batch
        end = begin + steps * self.global_batch
        first_epoch, last_epoch = begin // self.count, (end - 1) // self.count
        epochs = [self.epoch_records(epoch) for epoch in range(first_epoch, last_epoch + 1)]
        offset = begin - first_epoch * self.count
        records = np.concatenate(epochs)[offset : offset + end - begin]
        return records.reshape(steps, self.global_batch)


def lanes_of(rank: int, world_size: int, lanes: int) -> np.ndarray:
    """Returns int64: the lanes of one worker, ascending."""
    return np.arange(rank, lanes, world_size, dtype=np.int64)


def rows_of(rank: int, world_size: int, lanes: int, global_batch: int) -> np.ndarray:
    """Returns int64 `[replica_batch]`: the global rows of one worker, ascending.

    Raises:
        ConfigError: `lanes` does not divide `global_batch`, there are more
            workers than lanes, or `rank` is not below `world_size`.
    """
    check_world_size(world_size, lanes, global_batch)
    if not 0 <= rank < world_size:
        raise ConfigError(
            f"Rank {rank} of {world_size} workers does not exist",
            expected=f"a rank from 0 to {world_size - 1}",
            remedy="start each worker with a rank of its own below the number of workers",
        )
    blocks = np.arange(0, global_batch, lanes, dtype=np.int64)
    return (blocks[:, None] + lanes_of(rank, world_size, lanes)[None, :]).reshape(-1)


def default_lanes(global_batch: int, max_workers: int = 1) -> int:
    """Returns the largest divisor of the batch not above max(16, `max_workers`)."""
    most = min(global_batch, max(USUAL_LANES, max_workers))
    return next(lanes for lanes in range(most, 0, -1) if global_batch % lanes == 0)


def lanes_for(config: Config) -> int:
    """Returns the lanes of a config: its own number, or the default for its batch and workers."""
    most = config.cluster.max_workers
    return config.dataset.lanes or default_lanes(config.training.update_batch, most)


def check_lanes(lanes: int, global_batch: int) -> None:
    """Raises ConfigError unless `lanes` is at least 1 and divides `global_batch`."""
    if global_batch < 1:
        raise ConfigError(
            f"training.global_batch is {global_batch}",
            expected="at least 1",
            remedy="set training.global_batch, for example to 64",
        )
    if lanes < 1 or global_batch % lanes:
        near = default_lanes(global_batch, max(1, lanes))
        raise ConfigError(
            f"dataset.lanes is {lanes} and training.global_batch is {global_batch}",
            expected="a number of lanes that divides the global batch",
            remedy=f"set dataset.lanes={near}, or leave it out",
        )


def check_world_size(world_size: int, lanes: int, global_batch: int) -> None:
    """Refuses a number of workers that the lanes of a run cannot feed.

    Raises:
        ConfigError: There are more workers than lanes, or fewer than one
            worker. Names the nearest global batches that would do.
    """
    check_lanes(lanes, global_batch)
    if world_size < 1:
        raise ConfigError(
            f"The number of workers is {world_size}",
            expected="at least 1",
            remedy="set cluster.workers to 1 or more",
        )
    if world_size <= lanes:
        return
    batches = " or ".join(str(batch) for batch in nearest_batches(global_batch, world_size))
    remedy = f"use at most {lanes} workers, or a global batch of {batches}"
    enough = [n for n in range(world_size, 2 * world_size) if global_batch % n == 0]
    if enough:
        # The lanes of a run are part of its order, so this helps a new run only.
        remedy += f", or in a new run dataset.lanes={enough[0]}"
    raise ConfigError(
        f"{world_size} workers cannot share {lanes} lanes of a global batch of {global_batch}",
        expected="at least one lane for each worker",
        remedy=remedy,
    )


def nearest_batches(global_batch: int, world_size: int) -> list[int]:
    """Returns the nearest global batches, below and above, that feed all workers."""

    def feeds_all(batch: int) -> bool:
        return default_lanes(batch, world_size) >= world_size

    # Every multiple of the number of workers does, so both searches end.
    below = next((b for b in range(global_batch - 1, world_size - 1, -1) if feeds_all(b)), None)
    first = max(global_batch + 1, world_size)
    above = next(b for b in range(first, first + world_size + 1) if feeds_all(b))
    return [above] if below is None else [below, above]
