"""What rank 0 writes while a run trains: rows, checkpoints, grids, measurements, all in order.

Owns which callbacks these are, in what order they act after a call, and what they tell one
another. Each does its own work.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import checkpoint
from trainer.callbacks.base import StepCallback
from trainer.callbacks.cadence import Cadence, Due, Schedule
from trainer.callbacks.checkpointing import Checkpointing
from trainer.callbacks.data_wait import DataWait
from trainer.callbacks.evaluating import Evaluating, Evaluator, Found, best_step, scalars
from trainer.callbacks.health_watch import HealthWatch
from trainer.callbacks.metrics import Metrics
from trainer.callbacks.nonfinite import NonFinite
from trainer.callbacks.pace import TrainingClock
from trainer.callbacks.progress_bar import ProgressBar
from trainer.callbacks.run_record import RunProgress
from trainer.callbacks.sampling import Sampling
from trainer.callbacks.tensorboard import TensorBoard
from trainer.config import Config
from trainer.errors import CatganError, CheckpointError
from trainer.run_folder import MetricsLog, RunFolder, read_evaluations

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Start:
    """What the callbacks of one start are told.

    Attributes:
        config: Of the run.
        folder: The run folder.
        begun: The claimed start.
        schedule: What is due when.
        clock: Seconds of training.
        wait: Seconds of waiting for data.
        train_count: Pictures in the training split.
        real_pictures: `count -> uint8 [at most count, H, W, 3]`.
        meta: `step -> what a checkpoint holds besides arrays`.
        world_size: Workers.
        row_extras: Returns more figures for a row.
        stop_asked: Whether the process is to end.
        evaluator: Measures checkpoints; None: nobody does.
        eager: A person may sit in the debugger.
    """

    config: Config
    folder: RunFolder
    begun: checkpoint.Begun
    schedule: Schedule
    clock: TrainingClock
    wait: DataWait
    train_count: int
    real_pictures: Callable[[int], np.ndarray]
    meta: Callable[[int], Mapping[str, Any]]
    world_size: int
    row_extras: Callable[[], dict[str, float]]
    stop_asked: Callable[[], bool]
    evaluator: Evaluator | None
    eager: bool


def evaluating(
    start: Start,
    keep_best: Callable[[int], None] = lambda step: None,
    on_measured: Callable[[Sequence[Found]], None] = lambda found: None,
    keep_measured: Callable[[frozenset[int]], None] = lambda steps: None,
) -> Evaluating | None:
    """Returns what has checkpoints measured, or None where nobody does; see `Evaluating`."""
    asked, batch = start.config.evaluation, start.config.training.global_batch
    if start.evaluator is None or not asked.every_steps.value:
        return None
    return Evaluating(
        start.folder,
        start.evaluator,
        Cadence.of(asked.every_steps, batch, start.train_count),
        start.schedule.total_steps,
        batch,
        keep_best,
        on_measured,
        keep_measured,
        start=start.begun.start,
        stop_asked=start.stop_asked,
    )


class Writing:
    """The writing callbacks of one start.

    Args:
        start: See `Start`.
        rows: Where rows of figures go.
        store: Where checkpoints go.
        handed_over: Whether another rank publishes from now on.
    """

    def __init__(
        self,
        start: Start,
        rows: MetricsLog,
        store: checkpoint.CheckpointStore,
        handed_over: Callable[[], bool],
    ) -> None:
        self._start, self._rows, self._store = start, rows, store
        self._handed_over = handed_over
        config, folder = start.config, start.folder
        self._board: list[TensorBoard] = []
        if config.log.tensorboard:
            self._board.append(TensorBoard(folder.folder, start.begun.start))
        self._health = HealthWatch(config)
        self._measuring = self._evaluating()

    def callbacks(self) -> list[StepCallback]:
        """Returns all, in the order in which they act after a call."""
        start = self._start
        config, batch = start.config, start.config.training.global_batch
        nonfinite = NonFinite(config, start.folder.address, self._last_good)
        due = self._due(start.schedule.checkpoint)
        secs = self._secs
        self._store.refuse = nonfinite.refuse
        saving = Checkpointing(
            self._store, due, start.meta, secs, nonfinite.check, self._handed_over
        )
        # In an eager run a person may sit in the debugger: no live bar around the prompt.
        bar = [] if start.eager else [ProgressBar(config, start.wait.secs)]
        return [
            *bar,
            self._health,
            self._metrics(),
            nonfinite,
            saving,
            self._samples(),
            *self._measuring,
            *self._board,
            RunProgress(start.folder, start.begun.start, batch),
        ]

    def published(self, step: int) -> None:
        """Takes note of a published checkpoint; called behind the training."""
        for callback in self._measuring:
            callback.published(step)

    def _secs(self) -> float:
        return self._start.clock.secs

    def _due(self, cadence: Cadence) -> Due:
        return Due(cadence, self._start.schedule.total_steps, self._secs())

    def _on_row(self, row: dict[str, Any]) -> None:
        self._health.row(row)
        self._to_board(row)

    def _to_board(self, row: dict[str, Any]) -> None:
        for board in self._board:
            board.row(row)

    def _metrics(self) -> Metrics:
        start = self._start
        rollbacks = start.config.training.rollbacks
        rolled_back = {"rollbacks": rollbacks} if rollbacks else {}
        return Metrics(
            self._rows,
            self._due(start.schedule.metrics),
            self._secs,
            start.config.training.global_batch,
            start.wait.secs,
            self._on_row,
            start.world_size,
            lambda: start.row_extras() | self._health.figures() | rolled_back,
        )

    def _samples(self) -> Sampling:
        start = self._start
        return Sampling(
            start.folder.folder,
            start.config,
            self._due(start.schedule.samples),
            self._secs,
            start.real_pictures,
            self._board[0].grid if self._board else lambda step, grid: None,
            self._health.features,
            asks_discriminator=not start.eager,
        )

    def _evaluating(self) -> list[Evaluating]:
        start = self._start

        def keep_best(step: int) -> None:
            self._store.best = step

        def keep_measured(steps: frozenset[int]) -> None:
            self._store.measured = steps

        def on_measured(found: Sequence[Found]) -> None:
            self._to_board({"step": found[-1]["step"], **scalars(found[-1])})
            self._health.measured(found)

        found = evaluating(start, keep_best, on_measured, keep_measured)
        if found is None:
            self._store.best = self._best_before()
            return []
        return [found]

    def _best_before(self) -> int | None:
        """The best checkpoint by what was measured before, which stays though nobody measures."""
        start = self._start
        try:
            known = read_evaluations(start.folder)
        except CheckpointError as error:
            log.warning("which checkpoint is the best is not known: %s", error.what)
            return None
        return best_step([one for one in known if one["step"] <= start.begun.first_step])

    def _last_good(self, waits: bool) -> int | None:
        with contextlib.suppress(CatganError):
            if waits:
                self._store.wait()
        if self._store.last_published is not None:
            return self._store.last_published
        begun = self._start.begun
        return begun.first_step if begun.checkpoint else None
