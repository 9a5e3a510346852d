"""Names the workers that keep the others waiting.

Owns when that is looked at and the words. What counts as a straggler is
`trainer.agreement.stragglers`; how busy each rank was is heard with every step.
"""

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from trainer.agreement import stragglers
from trainer.callbacks.base import StepCallback

_LOG = logging.getLogger("catgan")

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
            _LOG.warning(
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
