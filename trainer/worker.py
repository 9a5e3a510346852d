"""The function that every training process runs.

Owns the order in which a start is put together: model, restore, stream,
callbacks, fit, end. Cannot tell who started it: a local run is a cluster run
of world size one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer import checkpoint
from trainer.callbacks import memory_probe
from trainer.callbacks.base import closing
from trainer.callbacks.cadence import Schedule
from trainer.callbacks.data_wait import DataWait
from trainer.callbacks.ending import Ending
from trainer.callbacks.evaluating import Evaluator
from trainer.callbacks.handover import Handover
from trainer.callbacks.memory import is_out_of_memory
from trainer.callbacks.pace import TrainingClock
from trainer.callbacks.preemption import Preemption
from trainer.callbacks.sampling import draw_missing
from trainer.callbacks.stop_requests import StopRequests
from trainer.callbacks.writing import Start, Writing, evaluating
from trainer.config import Config, to_yaml
from trainer.data.order import rows_of
from trainer.data.stream import Dataset
from trainer.distribution import Distribution
from trainer.errors import CatganError, CheckpointError
from trainer.gan.build import build_gan
from trainer.gan.export import save_generator
from trainer.gan.gan import GAN
from trainer.gan.state import NETWORKS, write_networks
from trainer.run_folder import MetricsLog, RunFolder

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Context:
    """What a worker is told by whoever started it.

    Attributes:
        distribution: Rank and world size, and how replicas are summed.
        stops: Reasons to stop that come from outside.
        jit: Compile the step with XLA.
        eager: Do not trace the step.
        before_publish: Called behind the training with the step of a checkpoint, when its
            parts are written and its manifest is not.
        published: Called behind the training with the step of each published checkpoint.
        row_extras: Returns more figures for a row of metrics.
        evaluator: Measures checkpoints where the config asks for it.
        going: Returns the ranks on machines that will be taken away, as far as this one knows.
        ends: Called with the step where none is left to train, and other work may be.
    """

    distribution: Distribution = field(default_factory=Distribution)
    stops: StopRequests = field(default_factory=StopRequests)
    jit: bool = False
    eager: bool = False
    before_publish: Callable[[int], None] = lambda step: None
    published: Callable[[int], None] = lambda step: None
    row_extras: Callable[[], dict[str, float]] = dict
    evaluator: Evaluator | None = None
    going: Callable[[], set[int]] = set
    ends: Callable[[int], None] = lambda step: None


@dataclass(frozen=True)
class Result:
    """How a start ended.

    Attributes:
        status: `finished` or `stopped`.
        step: The last finished step, of which there is a checkpoint.
        cause: Why it ended, in one line.
    """

    status: str
    step: int
    cause: str


def run(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    begun: checkpoint.Begun,
    context: Context,
    extra_callbacks: Callable[[GAN], list] = lambda gan: [],
) -> Result:
    """Trains from where `begun` stands until the run is finished or asked to stop.

    Every rank calls this; only rank 0 writes into the run folder, unless its machine is
    about to be taken away: see `trainer.callbacks.handover`.

    Args:
        config: Resolved: lanes and precision chosen.
        folder: The run folder, already claimed.
        dataset: Open.
        begun: The claimed start and what it goes on from.
        context: See `Context`.
        extra_callbacks: More callbacks, for the model that was built.

    Raises:
        NonFiniteError: A step's losses are no numbers.
        TrainingError: Out of memory.
        CatganError: Storage, data or checkpoint trouble that did not pass.
    """
    rows = rows_of(
        context.distribution.rank,
        context.distribution.world_size,
        config.dataset.lanes,
        config.training.global_batch,
    )
    gan = build_gan(
        config, context.distribution, rows=rows, jit=context.jit, run_eagerly=context.eager
    )
    gan.logs_to_fit = False
    if context.distribution.rank == 0:
        kept = config.checkpoint
        checkpoint.check_space(folder, gan.state_bytes, kept.keep_last, kept.keep_every_steps)
    if begun.checkpoint:
        gan.load_state(begun.checkpoint.load(), begun.first_step)
    elif config.training.start_from:
        origin = checkpoint.open_address(config.training.start_from, NETWORKS)
        _refuse_other_weights(origin, folder.must_have_record().origin)
        write_networks(gan, origin.load(NETWORKS))
    started = _Start(config, folder, dataset, begun, context, gan)
    if gan.step < config.training.steps:
        started.fit(extra_callbacks(gan))
    else:
        started.measure()
    return started.finish()


def _refuse_other_weights(found: checkpoint.Checkpoint, noted: dict[str, Any]) -> None:
    """A run that was killed before its first checkpoint begins anew, with the same weights."""
    if noted.get("parts_sha256", found.parts_sha256) != found.parts_sha256:
        raise CheckpointError(
            f"{found.address} holds other weights than this run was begun with: that step was "
            "trained again",
            expected="the checkpoint that run.json names, unchanged",
            remedy="begin a new run: another run=… with the same training.start_from",
        )


class _Start:
    """One start of a run: its stream, callbacks and end."""

    def __init__(self, config, folder, dataset, begun, context, gan) -> None:
        self._config: Config = config
        self._folder: RunFolder = folder
        self._dataset: Dataset = dataset
        self._begun: checkpoint.Begun = begun
        self._context: Context = context
        self._gan: GAN = gan
        self._schedule = Schedule.of(config, dataset.train_count)
        meta = begun.checkpoint.meta if begun.checkpoint else {}
        self._clock = TrainingClock(float(meta.get("secs", 0.0)))
        self._wait = DataWait(config.deterministic)
        self._handed_over: int | None = None
        gan.steps_this_call = self._steps_this_call

    def _steps_this_call(self, step: int) -> int:
        most = self._config.training.steps_per_call
        return min(most, self._schedule.next_boundary(step) - step)

    @property
    def _writes(self) -> bool:
        return self._context.distribution.rank == 0

    def fit(self, extra: list) -> None:
        """Runs Keras' fit until a callback stops it."""
        config = self._config
        rows = MetricsLog(self._folder, self._begun.start, self._begun.first_step)

        def before_publish(step: int) -> None:
            rows.flush()
            self._context.before_publish(step)

        writers: list[Writing] = []

        def published(step: int) -> None:
            self._context.published(step)
            for writing in writers:
                writing.published(step)

        store = checkpoint.CheckpointStore(
            self._folder,
            self._begun.start,
            keep_last=config.checkpoint.keep_last,
            keep_every_steps=config.checkpoint.keep_every_steps,
            before_publish=before_publish,
            published=published,
            # Another rank publishes at most a run's last words, and nobody told it what is best.
            prunes=self._writes,
        )
        total, going = self._schedule.total_steps, self._context.going
        handover = Handover(total, going, store, rows, self._meta)
        with store:
            if self._writes:
                writers.append(Writing(self._told(), rows, store, handover.due))
            writing = [callback for writer in writers for callback in writer.callbacks()]
            self._fit([*extra, *writing, *self._stopping(handover)])
            rows.flush()
        self._handed_over = handover.step

    def measure(self) -> None:
        """Has the last checkpoint measured, if a kill came between it and its measurement."""
        self._context.ends(self._gan.step)
        # From now on a signal ends the waiting, not the run.
        self._context.stops.lets_finish()
        found = evaluating(self._told()) if self._writes else None
        if found is not None:
            with closing([found]):
                found.begin(self._gan.step)
                found.end(self._gan.step)

    def _fit(self, callbacks: list) -> None:
        config, distribution = self._config, self._context.distribution
        batches = self._dataset.batches(
            seed=config.step_seed,
            global_batch=config.training.global_batch,
            lanes=config.dataset.lanes,
            rank=distribution.rank,
            world_size=distribution.world_size,
            first_step=self._gan.step,
        )
        try:
            with closing(callbacks):
                self._gan.fit(
                    self._wait.measured(batches),
                    epochs=1,
                    verbose=0,
                    # Keras warns otherwise that a tf.data.Dataset is not shuffled by it.
                    shuffle=False,
                    callbacks=callbacks,
                )
        except CatganError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise memory_probe.explain(config, self._gan.draws.count) from error
            raise self._dataset.explain(error) from error

    def _stopping(self, handover: Handover) -> list:
        """What ends the fit, on every rank after the same call."""
        stop = Preemption(self._context.stops, handover.ready)
        # After it: whoever gives a machine as the reason knows of that machine here too.
        return [stop, handover, Ending(self._schedule.total_steps)]

    def _told(self) -> Start:
        context, dataset = self._context, self._dataset
        return Start(
            config=self._config,
            folder=self._folder,
            begun=self._begun,
            schedule=self._schedule,
            clock=self._clock,
            wait=self._wait,
            train_count=dataset.train_count,
            real_pictures=self._real_pictures,
            meta=self._meta,
            world_size=context.distribution.world_size,
            row_extras=context.row_extras,
            stop_asked=lambda: bool(context.stops.cause()),
            evaluator=context.evaluator,
            eager=context.eager,
        )

    def _meta(self, step: int) -> dict[str, Any]:
        return {
            "step": step,
            "images_seen": step * self._config.training.global_batch,
            "secs": self._clock.secs,
            "seed": self._config.seed,
            "fingerprint": self._dataset.fingerprint,
            "config": to_yaml(self._config),
        }

    def _real_pictures(self, count: int) -> np.ndarray:
        return self._dataset.pictures("train", np.arange(min(count, self._dataset.train_count)))

    def finish(self) -> Result:
        """Leaves behind what a finished run has, if this rank writes; says how this start ended.

        Raises:
            CheckpointError: A later start took the run over, which alone may finish it.
        """
        step, total = self._gan.step, self._schedule.total_steps
        if self._writes:
            # Once more at the end: all that this start had to write may be there already.
            checkpoint.refuse_if_taken_over(self._folder, self._begun.start)
        if step < total:
            published = step if self._handed_over is None else self._handed_over
            return Result("stopped", published, self._context.stops.cause() or "asked to stop")
        if self._writes:
            draw_missing(self._folder.folder, self._config, self._gan.ema_generator, step)
            save_generator(
                self._gan.ema_generator, self._folder.folder, self._config.model.picture_scale
            )
        return Result("finished", step, f"all {total:,} steps are done")
