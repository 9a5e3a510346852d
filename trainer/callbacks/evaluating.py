"""Measures published checkpoints beside the training.

Owns which checkpoints are measured, what becomes of the answer, and which checkpoint is the
best so far. Who measures is handed in: a process beside this one, or a task on a cluster;
training never waits for it, but for the last one, at the end of the run.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from trainer.callbacks.background import Background
from trainer.callbacks.base import StepCallback
from trainer.callbacks.cadence import Cadence
from trainer.command_line import catgan
from trainer.errors import CatganError
from trainer.run_folder import RunFolder, read_evaluations, write_evaluation

log = logging.getLogger("catgan")

_FIGURE = "kernel_distance"
# At the end of a run; one measurement that takes longer is given up.
_LAST_SECS = 900.0
_POLL_SECS = 0.2

Found = dict[str, Any]


class Job(Protocol):
    """One measurement under way."""

    def done(self) -> bool:
        """Whether `result` returns at once."""

    def result(self) -> Found:
        """`Evaluation.as_dict`; raises CatganError where it failed."""

    def cancel(self) -> None:
        """Ends it; may be called at any time."""


# Begins to measure the checkpoint of a step.
Evaluator = Callable[[int], Job]


class Evaluating(StepCallback):
    """Has checkpoints measured, one at a time, and keeps what was found.

    Args:
        folder: The run folder.
        evaluator: Measures.
        cadence: The first checkpoint published so long after the last measured one is next.
        total_steps: Of the run; its last checkpoint is always measured.
        global_batch: Pictures a step.
        keep_best: Told the step of the best checkpoint whenever it changes.
        on_measured: Told all that was measured so far, by step, the newest last; called behind
            the training.
        keep_measured: Told the steps that wait to be measured, or are, whenever they change: a
            checkpoint must not go before it is known whether it is the best.
        start: Number of this start.
        stop_asked: Whether the process is to end: the last measurement is not waited for then.
    """

    def __init__(
        self,
        folder: RunFolder,
        evaluator: Evaluator,
        cadence: Cadence,
        total_steps: int,
        global_batch: int,
        keep_best: Callable[[int], None],
        on_measured: Callable[[Sequence[Found]], None] = lambda found: None,
        keep_measured: Callable[[frozenset[int]], None] = lambda steps: None,
        *,
        start: int,
        stop_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._evaluator = evaluator
        self._cadence = cadence
        self._total_steps, self._global_batch = total_steps, global_batch
        self._keep_best, self._on_measured = keep_best, on_measured
        self._keep_measured = keep_measured
        self._start, self._stop_asked = start, stop_asked
        self._behind = Background("evaluations")
        self._last_step, self._last_secs = 0, time.monotonic()
        self._waiting: int | None = None
        # Checkpoints are published by another thread than the one that asks for measurements.
        self._asking = threading.Lock()
        # Those that wait, are measured, or whose answer is being written.
        self._unsettled: set[int] = set()
        self._job: tuple[int, Job] | None = None
        self._warned = False
        self._found: list[Found] = []

    def begin(self, step: int) -> None:
        """Learns what was measured before, and makes up for a last one that a kill prevented."""
        self._found = [one for one in read_evaluations(self._folder) if one["step"] <= step]
        self._last_step = max((one["step"] for one in self._found), default=0)
        self._tell_best()
        if step and self._due(step):
            self._want(step)

    def published(self, step: int) -> None:
        """Takes note of a published checkpoint; called behind the training."""
        if self._due(step):
            self._want(step)

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Looks whether an answer has come, and asks the next question."""
        if self._job is not None and self._job[1].done():
            (done, job), self._job = self._job, None
            self._behind.submit(lambda: self._keep(done, job))
        if self._job is None and self._waiting is not None:
            self._begin_next()

    def end(self, step: int) -> None:
        """Waits for the last measurement of a run that is finished; a stopped one leaves it."""
        deadline = time.monotonic() + _LAST_SECS
        while step >= self._total_steps and (self._job or self._waiting is not None):
            job = self._job
            self.after_call(step, {})
            if self._job is not job:
                deadline = time.monotonic() + _LAST_SECS
            if self._stop_asked() or time.monotonic() > deadline:
                remedy = catgan("evaluate", self._folder.address)
                log.warning("the last checkpoint was not measured; it still can be: %s", remedy)
                return
            time.sleep(_POLL_SECS)

    def close(self) -> None:
        """Ends the measurement under way, and waits for what is being written."""
        if self._job is not None:
            self._job[1].cancel()
        self._behind.close()

    def _due(self, step: int) -> bool:
        cadence = self._cadence
        by_steps = cadence.every_steps and step - self._last_step >= cadence.every_steps
        passed = time.monotonic() - self._last_secs
        by_clock = cadence.every_secs and passed >= cadence.every_secs
        return bool(by_steps or by_clock) or step >= self._total_steps > self._last_step

    def _want(self, step: int) -> None:
        with self._asking:
            # One that still waits is given up for the newer one.
            if self._waiting is not None:
                self._unsettled.discard(self._waiting)
            self._unsettled.add(step)
            self._waiting, self._last_step, self._last_secs = step, step, time.monotonic()
            self._keep_measured(frozenset(self._unsettled))

    def _settled(self, step: int) -> None:
        with self._asking:
            self._unsettled.discard(step)
            self._keep_measured(frozenset(self._unsettled))

    def _begin_next(self) -> None:
        with self._asking:
            step, self._waiting = self._waiting, None
        if step is None:
            return
        try:
            self._job = (step, self._evaluator(step))
        except CatganError as error:
            self._failed(step, error)

    def _failed(self, step: int, error: CatganError) -> None:
        """Figures are missing then; training has nothing to do with it."""
        told = log.debug if self._warned else log.warning
        told("step %s was not measured: %s", f"{step:,}", error)
        self._warned = True
        self._settled(step)

    def _keep(self, step: int, job: Job) -> None:
        """Writes an answer, behind the training: a bucket may take its time."""
        try:
            found = job.result()
            write_evaluation(self._folder, step, step * self._global_batch, found, self._start)
        except CatganError as error:
            self._failed(step, error)
            return
        self._warned = False
        self._found.append({"step": step, **found})
        for result in found["results"]:
            log.info("step %s: %s", f"{step:,}", told_in_words(result))
        self._tell_best()
        self._settled(step)
        self._on_measured(self._found)

    def _tell_best(self) -> None:
        best = best_step(self._found)
        if best is not None:
            self._keep_best(best)


def scalars(found: Mapping[str, Any]) -> dict[str, float]:
    """Returns figures by names that carry their network, such as `kernel_distance/inception`."""
    return {
        f"{name}/{result['provenance']['features']}": figure["value"]
        for result in found["results"]
        for name, figure in result["figures"].items()
    }


def told_in_words(result: Mapping[str, Any]) -> str:
    """Returns one line: each figure, its error, what real pictures have, and the scale."""
    parts = []
    for name, figure in result["figures"].items():
        error = "" if figure["error"] is None else f" ± {figure['error']:.4f}"
        real = "" if figure["baseline"] is None else f" (real pictures {figure['baseline']:.4f})"
        parts.append(f"{result['labels'][name]} {figure['value']:.4f}{error}{real}")
    return "; ".join([", ".join(parts), *result.get("scale", [])])


def comparable(found: Sequence[Found]) -> list[tuple[int, dict[str, float]]]:
    """Returns step and kernel distance of all that were measured as the newest was."""
    firsts = [(one["step"], one["results"][0]) for one in found if one.get("results")]
    return [
        (step, result["figures"][_FIGURE])
        for step, result in firsts
        if result["provenance"] == firsts[-1][1]["provenance"] and _FIGURE in result["figures"]
    ]


def best_step(found: Sequence[Found]) -> int | None:
    """Returns the step of the least kernel distance among those measured as the newest was."""
    alike = comparable(found)
    return min(alike, key=lambda one: one[1]["value"])[0] if alike else None
