"""Rows of figures, one every so many steps.

Owns what a row holds. Where rows lie, and that they are durable before a
checkpoint is published, is in `trainer.run_folder.metrics`.
"""

from collections.abc import Callable
from typing import Any, Protocol

from trainer.callbacks.base import StepCallback, read_figures
from trainer.callbacks.cadence import Due
from trainer.callbacks.pace import Pace


class RowLog(Protocol):
    """What is needed of `trainer.run_folder.MetricsLog`."""

    def append(self, row: dict[str, Any]) -> None:
        """Keeps a row."""

    def flush(self) -> None:
        """Makes the rows durable."""


class Metrics(StepCallback):
    """Appends a row at due steps: step, images_seen, seconds, losses, speed, data wait.

    `seconds` are of training, over all starts. Losses are those of the row's
    own step; speed and data wait are of the stretch since the row before.

    Args:
        log: Keeps the rows.
        due: When a row is due.
        secs: The training clock.
        global_batch: Pictures a step.
        waited_secs: Returns the seconds spent waiting for data so far.
        on_row: Called with each row.
        world_size: Workers; several share the pictures of a second.
        extras: Returns more figures for each row.
    """

    def __init__(
        self,
        log: RowLog,
        due: Due,
        secs: Callable[[], float],
        global_batch: int,
        waited_secs: Callable[[], float],
        on_row: Callable[[dict[str, Any]], None] = lambda row: None,
        world_size: int = 1,
        extras: Callable[[], dict[str, float]] = dict,
    ) -> None:
        super().__init__()
        self._log = log
        self._due = due
        self._secs = secs
        self._global_batch = global_batch
        self._pace = Pace(waited_secs)
        self._on_row = on_row
        self._world_size = world_size
        self._extras = extras

    def begin(self, step: int) -> None:
        """Begins the first stretch."""
        self._pace.mark(step)

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Appends a row if one is due."""
        if not self._due.now(step, self._secs()):
            return
        figures = read_figures(self.model, logs)  # waits for the device, so the clock is read after
        stretch = self._pace.since_mark(step)
        self._pace.mark(step)
        row = {
            "step": step,
            "images_seen": step * self._global_batch,
            "seconds": round(self._secs(), 3),
            **figures,
            "images_per_sec": round(stretch.steps_per_sec * self._global_batch, 2),
            "data_wait_share": round(stretch.wait_share, 5),
            **self._shared(stretch.steps_per_sec * self._global_batch),
            **self._extras(),
        }
        self._log.append(row)
        self._on_row(row)

    def _shared(self, images_per_sec: float) -> dict[str, float]:
        if self._world_size == 1:
            return {}
        each = round(images_per_sec / self._world_size, 2)
        return {"world_size": self._world_size, "images_per_sec_per_worker": each}

    def close(self) -> None:
        """Makes the last rows durable."""
        self._log.flush()
