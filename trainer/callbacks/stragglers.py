"""Names the workers that keep the others waiting.

Owns what counts as a straggler, when that is looked at, and the words. How busy each rank was is
heard with every step.
"""

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.callbacks.base import StepCallback

log = logging.getLogger("catgan")

_CALLS = 30
_LOOK_SECS = 10.0
_AGAIN_SECS = 300.0


class Stragglers(StepCallback):
    """Warns of a rank that was slower than the others over many calls.

    Args:
        hosts: Returns the machine's name of each rank, as far as it is known.
    """

    def __init__(self, hosts: Callable[[], Mapping[int, str]]) -> None:
        super().__init__()
        self._hosts = hosts
        self._rows: deque[list[float]] = deque(maxlen=_CALLS)
        self._looked_at = time.monotonic()
        self._told_at: dict[int, float] = {}

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Notes how busy each rank was, and looks at it every few seconds."""
        self._rows.append(self.model.agreement.heard_by_rank("busy_secs"))
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECS:
            self._looked_at = now
            self._look(now)

    def _look(self, now: float) -> None:
        for rank in slow_ranks(list(self._rows)):
            if now - self._told_at.get(rank, -_AGAIN_SECS) < _AGAIN_SECS:
                continue
            self._told_at[rank] = now
            typical = [statistics.median(secs) for secs in zip(*self._rows, strict=True)]
            others = statistics.median([*typical[:rank], *typical[rank + 1 :]])
            log.warning(
                "rank %d on %s keeps the others waiting: it is busy for %.0f ms of each call, the "
                "others for %.0f ms",
                rank,
                self._hosts().get(rank, "an unknown host"),
                1e3 * typical[rank],
                1e3 * others,
            )


def slow_ranks(rows: list[list[float]]) -> list[int]:
    """Returns the ranks that were slower than the others in the medians of three stretches.

    A single call may be slow for any reason: a checkpoint, a grid, a neighbour.

    Args:
        rows: How busy each rank was in each call, oldest first, in seconds.
    """
    third = len(rows) // 3
    if third == 0:
        return []
    stretches = [rows[start : start + third] for start in (0, third, 2 * third)]
    medians = [[statistics.median(secs) for secs in zip(*part, strict=True)] for part in stretches]
    return stragglers(medians, rows=3)


def stragglers(
    busy_secs_by_rank: Sequence[Sequence[float]],
    *,
    factor: float = 1.5,
    rows: int = 3,
    least_secs: float = 0.01,
) -> list[int]:
    """Says which ranks keep the others waiting.

    A straggler needs more than `factor` times the median of the other ranks in
    every one of the last rows: one slow row may be a checkpoint or a neighbour
    on the machine.

    Args:
        busy_secs_by_rank: Oldest first, one entry for each rank in every row;
            `heard_by_rank("busy_secs")`.
        factor: How much slower than the others, above 1.
        rows: How many rows in a row, at least 1.
        least_secs: Shorter differences than this are nobody's concern.

    Returns:
        Ranks, ascending; empty while there are fewer than `rows` rows.
    """
    last = busy_secs_by_rank[-rows:]
    if len(last) < rows or len(last[-1]) < 2:
        return []
    return [
        rank
        for rank in range(len(last[-1]))
        if all(_is_slow(row, rank, factor, least_secs) for row in last)
    ]


def _is_slow(row: Sequence[float], rank: int, factor: float, least_secs: float) -> bool:
    usual = statistics.median([*row[:rank], *row[rank + 1 :]])
    return row[rank] > max(factor * usual, usual + least_secs)
