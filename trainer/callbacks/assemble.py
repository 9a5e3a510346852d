"""Which callbacks a run has, and in which order.

Owns the order and how they are wired to each other. What each does is in its
own file.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.callbacks.base import StepCallback
from trainer.callbacks.checkpointing import Checkpointing
from trainer.callbacks.data_wait import DataWait
from trainer.callbacks.metrics import Metrics
from trainer.callbacks.nonfinite import NonFinite
from trainer.callbacks.pace import TrainingClock
from trainer.callbacks.preemption import Preemption, StopRequests
from trainer.callbacks.progress_bar import ProgressBar
from trainer.callbacks.run_record import RunProgress
from trainer.callbacks.sampling import Sampling
from trainer.callbacks.schedule import Cadence, Due, Schedule
from trainer.callbacks.tensorboard import TensorBoard
from trainer.checkpoint import CheckpointStore
from trainer.config import Config
from trainer.errors import CatganError
from trainer.run_folder import MetricsLog, RunFolder


@dataclass(frozen=True)
class Surroundings:
    """What the callbacks of one start lean on.

    Attributes:
        config: Of the run.
        schedule: What is due when.
        run: The run folder.
        start: Number of this start.
        resumed_step: The step gone on from, or None for a new run.
        store: Takes the checkpoints; its `before_publish` must flush `metrics_log`.
        metrics_log: Takes the rows.
        requests: Reasons to stop.
        data_wait: Measures the stream.
        clock: Seconds of training.
        meta: `step -> what a checkpoint holds besides arrays`.
        real_pictures: `count -> uint8 [at most count, H, W, 3]`.
    """

    config: Config
    schedule: Schedule
    run: RunFolder
    start: int
    resumed_step: int | None
    store: CheckpointStore
    metrics_log: MetricsLog
    requests: StopRequests
    data_wait: DataWait
    clock: TrainingClock
    meta: Callable[[int], Mapping[str, Any]]
    real_pictures: Callable[[int], np.ndarray]

    def last_good_step(self) -> int | None:
        """Returns the newest checkpoint that is published, one under way included."""
        with contextlib.suppress(CatganError):
            self.store.wait()
        published = self.store.last_published
        return self.resumed_step if published is None else published


def assemble(around: Surroundings) -> list[StepCallback]:
    """Returns the callbacks of the process that writes, in the order they are called.

    Broken weights are noticed before anything is kept; rows are there before
    the checkpoint that they belong to; what only looks on comes last.
    """
    config, secs = around.config, lambda: around.clock.secs
    waited = around.data_wait.secs
    guard = NonFinite(config, around.run.address, around.last_good_step)
    board = TensorBoard(around.run.folder, around.start) if config.log.tensorboard else None
    metrics = Metrics(
        around.metrics_log,
        _due(around, around.schedule.metrics),
        secs,
        config.training.global_batch,
        waited,
        on_row=board.row if board else lambda row: None,
    )
    sampling = Sampling(
        around.run.folder,
        config,
        _due(around, around.schedule.samples),
        secs,
        around.real_pictures,
        on_grid=board.grid if board else lambda step, grid: None,
    )
    checkpointing = Checkpointing(
        around.store,
        _due(around, around.schedule.checkpoint),
        around.meta,
        secs,
        before_save=guard.check,
    )
    progress = RunProgress(around.run, around.start, config.training.global_batch)
    bar, stopping = ProgressBar(config, waited), Preemption(around.requests)
    watching = [board] if board else []
    return [guard, metrics, sampling, checkpointing, progress, *watching, stopping, bar]


def _due(around: Surroundings, cadence: Cadence) -> Due:
    return Due(cadence, around.schedule.total_steps, around.clock.secs)
