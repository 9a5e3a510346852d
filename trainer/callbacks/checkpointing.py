"""Checkpoints at due steps, at the end, and when a stop is asked for.

Owns *when* a checkpoint is taken and how long training stood still for it.
*How* it is written, verified and pruned is in `trainer.checkpoint`.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trainer import console
from trainer.callbacks.base import StepCallback
from trainer.callbacks.cadence import Due
from trainer.run_folder import step_name

log = logging.getLogger("catgan.checkpoint")

# The last checkpoint of a run may come soon after the one before; that is no fault.
_LONG_WAIT_SECS = 5.0


class Store(Protocol):
    """What is needed of `trainer.checkpoint.CheckpointStore`."""

    waits: int
    waited_secs: float

    def save(self, step: int, state: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Takes the arrays over; returns before they are published."""

    def wait(self) -> None:
        """Returns once everything saved is published."""


@dataclass
class Stalls:
    """How long training stood still for checkpoints, in seconds.

    Attributes:
        saves: Checkpoints taken.
        copy_secs: Copying the weights to host memory, the last time.
        stall_secs: Beyond that copy, the last time.
    """

    saves: int = 0
    copy_secs: float = 0.0
    stall_secs: float = 0.0

    def add(self, copy_secs: float, stall_secs: float) -> None:
        """Counts one more."""
        self.saves += 1
        self.copy_secs, self.stall_secs = copy_secs, stall_secs


class Checkpointing(StepCallback):
    """Hands copies of the state to a store.

    Args:
        store: Writes and publishes them behind the training.
        due: When one is due.
        meta: `step -> what a checkpoint holds besides arrays`, a JSON object.
        secs: The training clock, for intervals in minutes.
        before_save: Called with the step before each copy; raises if the
            weights should not be kept.
        left_to_another: Whether another rank publishes from now on.

    Attributes:
        stalls: How long training stood still.
    """

    def __init__(
        self,
        store: Store,
        due: Due,
        meta: Callable[[int], Mapping[str, Any]],
        secs: Callable[[], float],
        before_save: Callable[[int], None] = lambda step: None,
        left_to_another: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.stalls = Stalls()
        self._store = store
        self._due = due
        self._meta = meta
        self._secs = secs
        self._before_save = before_save
        self._left_to_another = left_to_another
        self._saved_step = 0

    def begin(self, step: int) -> None:
        """Takes the step resumed from as saved."""
        self._saved_step = step

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Saves if a checkpoint is due."""
        if self._due.now(step, self._secs()) and not self._left_to_another():
            self._save(step)

    def end(self, step: int) -> None:
        """Saves the last step, wherever training stopped, and waits until it is published."""
        if step != self._saved_step and not self._left_to_another():
            self._save(step)
        self._store.wait()

    def close(self) -> None:
        """Tells of the saves that waited for the one before, which training waited for too."""
        waits, secs = self._store.waits, self._store.waited_secs
        if not waits:
            return
        log.info(
            "%s of %s checkpoints waited for the one before them, %s in all",
            f"{waits:,}",
            f"{self.stalls.saves:,}",
            console.duration(secs),
        )
        if secs > _LONG_WAIT_SECS:
            log.warning(
                "storing a checkpoint takes longer than the interval: set checkpoint.every_steps "
                "higher, or training goes on waiting"
            )

    def _save(self, step: int) -> None:
        self._before_save(step)
        began = time.perf_counter()
        state = self.model.state()
        copied = time.perf_counter()
        self._store.save(step, state, dict(self._meta(step)))
        self._saved_step = step
        self.stalls.add(copied - began, time.perf_counter() - copied)
        log.debug(
            "%s: copied in %.1f ms, stood still %.1f ms beyond it",
            step_name(step),
            1e3 * self.stalls.copy_secs,
            1e3 * self.stalls.stall_secs,
        )
