"""How many pictures go where: splits and shards.

Owns the arithmetic; pure.
"""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from trainer.data.shards import MAX_SHARD_BYTES

MULTIPLE = 16


def split_counts(count: int, val_fraction: float) -> tuple[int, int]:
    """Returns (train, validation): at least one picture each, where there are two."""
    validation = round(count * val_fraction)
    if val_fraction > 0 and count >= 2:
        validation = min(max(validation, 1), count - 1)
    return count - validation, validation


def part_sizes(count: int, parts: int) -> list[int]:
    """Returns how many records each of `parts` shards holds, equal to within one."""
    bounds = [count * k // parts for k in range(parts + 1)]
    return [end - start for start, end in pairwise(bounds)]


def shard_count(count: int, record_bytes: Callable[[], Iterable[int]]) -> int:
    """Returns the least good number of shards for `count` records.

    A multiple of 16 where there are 16 records, and so many that none is larger
    than `MAX_SHARD_BYTES`.

    Args:
        count: Number of records.
        record_bytes: Gives their sizes in order, anew at each call.
    """
    if count == 0:
        return 0
    step = MULTIPLE if count >= MULTIPLE else 1
    total = sum(record_bytes())
    parts = step * max(1, math.ceil(total / MAX_SHARD_BYTES / step))
    while parts + step <= count and not _fit(count, parts, record_bytes()):
        parts += step
    return parts


def _fit(count: int, parts: int, record_bytes: Iterable[int]) -> bool:
    sizes = iter(record_bytes)
    for records in part_sizes(count, parts):
        if sum(next(sizes) for _ in range(records)) > MAX_SHARD_BYTES:
            return False
    return True
