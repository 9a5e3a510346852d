"""How one epoch's shards are dealt to lanes.

Owns which shards, or parts of shards, each lane uses in an epoch. Does not own
how many records a lane is due or in what order it uses them: see
`trainer.data.order`.

Whole shards first: every lane gets the same number of them. What is left over,
and everything of a set with fewer shards than lanes, is dealt record by
record, one leftover shard after the other, so that a lane touches no more
leftover shards than it must.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# (count, what, *position) -> int64 [count], the numbers 0 to count - 1 shuffled.
Shuffled = Callable[..., np.ndarray]


@dataclass(frozen=True, eq=False)
class Piece:
    """Records of one shard that a lane uses.

    Attributes:
        shard: Number of the shard.
        records: int64, numbers of the records within the shard.
        mixed: Whether `records` are in random order already.
    """

    shard: int
    records: np.ndarray
    mixed: bool = False

    @property
    def size(self) -> int:
        """Number of records."""
        return len(self.records)


@dataclass(frozen=True, eq=False)
class Deal:
    """What each lane uses in one epoch.

    Attributes:
        whole: int64 `[rounds, lanes]`, the whole shards dealt to each lane, in
            the order in which the lane walks them.
        kept: int64 `[rounds, lanes]`, how many records of each the lane uses:
            its first ones. All of them, but where that would be more than the
            lane is due.
        leftover: For each lane, what it got record by record.
    """

    whole: np.ndarray
    kept: np.ndarray
    leftover: list[list[Piece]]

    def pieces(self, lane: int) -> list[Piece]:
        """Returns what `lane` reads in this epoch, in order; none is empty."""
        whole = [
            Piece(int(shard), np.arange(kept, dtype=np.int64))
            for shard, kept in zip(self.whole[:, lane], self.kept[:, lane], strict=True)
            if kept
        ]
        return whole + self.leftover[lane]


def deal_epoch(sizes: np.ndarray, targets: np.ndarray, shuffled: Shuffled, epoch: int) -> Deal:
    """Deals all records of a set to lanes.

    Args:
        sizes: int64 `[shards]`, records of each shard.
        targets: int64 `[lanes]`, records due to each lane; their sum is that of
            `sizes`.
        shuffled: Source of permutations.
        epoch: Number of the epoch, a position for `shuffled`.
    """
    lanes = len(targets)
    drawn = shuffled(len(sizes), "shards", epoch)
    rounds = len(sizes) // lanes
    whole = _deal_whole(drawn[: rounds * lanes], sizes, targets)
    before = np.cumsum(sizes[whole], axis=0) - sizes[whole]
    kept = np.clip(targets[None, :] - before, 0, sizes[whole])

    pool = [
        Piece(int(shard), shuffled(int(sizes[shard]), "leftover", epoch, int(shard)), True)
        for shard in drawn[rounds * lanes :]
    ]
    # Shards of unequal size may hold more than a lane is due.
    for at in np.argwhere(kept < sizes[whole]):
        shard = int(whole[tuple(at)])
        pool.append(Piece(shard, np.arange(kept[tuple(at)], sizes[shard], dtype=np.int64)))
    return Deal(whole, kept, _deal_records(pool, targets - kept.sum(axis=0)))


def _deal_whole(drawn: np.ndarray, sizes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Deals `rounds * lanes` shards so that lanes come as near to their due as can be.

    Larger shards are dealt first, beginning with the lanes that are due more.
    Where shards are equal to within one record and their number is a multiple
    of the lanes, every lane gets exactly its due and nothing is left over.
    """
    lanes = len(targets)
    largest_first = np.argsort(-sizes[drawn], kind="stable").reshape(-1, lanes)
    # Back to the drawn order within a lane: large shards must not always lead.
    in_turn = np.sort(largest_first, axis=0)
    whole = np.empty_like(in_turn)
    whole[:, np.argsort(-targets, kind="stable")] = drawn[in_turn]
    return whole


def _deal_records(pool: list[Piece], due: np.ndarray) -> list[list[Piece]]:
    """Cuts the pool, piece after piece, into as many records as each lane is due."""
    leftover: list[list[Piece]] = []
    number, used = 0, 0
    for wanted in due:
        lane: list[Piece] = []
        while wanted:
            piece = pool[number]
            take = min(int(wanted), piece.size - used)
            if take:
                taken = piece.records[used : used + take]
                lane.append(Piece(piece.shard, taken, piece.mixed))
            wanted, used = wanted - take, used + take
            if used == piece.size:
                number, used = number + 1, 0
        leftover.append(lane)
    return leftover
