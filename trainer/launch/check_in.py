"""A worker's line to the driver: where it is, what it logs, whether it should stop.

Owns the background thread that checks in about once a second, and the watchdog:
a worker that finishes no step for too long says where it stands and ends its own
process, because nothing else notices a live process with a stuck thread. What it
stands in is `stack_place.py`'s to say.
"""

import logging
import os
import signal
import socket
import threading
import time
import traceback
from typing import Any

import ray

from trainer.console import duration
from trainer.errors import CatganError
from trainer.launch.coordinator import Beat, Failure, Line
from trainer.launch.stack_place import Place, all_stacks, place_of
from trainer.storage import limits

CHECK_IN_SECS = 1.0
_ANSWER_SECS = 20.0
# Of the last two measurements, given up after 900 s each, and of the last grid and export.
_LAST_WORK_SECS = 2100.0
# Who waits for another worker lets that one speak first: it knows what it is stuck in.
_COURTESY_SECS = 5.0
_MOST_LINES = 1000


class CheckIn:
    """Runs beside the training of one worker, inside a `with` block.

    Args:
        coordinator: Handle of the actor.
        attempt: Number of this attempt.
        rank: Of this worker.
        hang_timeout_secs: After so long without a finished step the process is killed. Longer
            where it, or the one it waits for, waits for storage, and after the last step.
        start_timeout_secs: The same before the first step, where that is longer: it takes
            imports, a checkpoint, and tracing.

    Attributes:
        rank: Of this worker.
        host: Name of its machine.
        trained_at: When this worker finished its first steps, seconds since the epoch.
    """

    def __init__(
        self,
        coordinator: Any,
        attempt: int,
        rank: int,
        *,
        hang_timeout_secs: float,
        start_timeout_secs: float,
    ) -> None:
        self._coordinator, self._attempt, self.rank = coordinator, attempt, rank
        self._hang_timeout_secs = hang_timeout_secs
        self._start_timeout_secs = max(hang_timeout_secs, start_timeout_secs)
        self.host = socket.gethostname()
        self._step, self._moved_at = -1, time.monotonic()
        self._trainer = threading.get_ident()
        self._ends = False
        self._cause = ""
        self.trained_at: float | None = None
        self._over = threading.Event()
        self._log = _Forward(rank, self.host)
        self._thread = threading.Thread(target=self._run, name="check-in", daemon=True)

    def __enter__(self) -> "CheckIn":
        logging.getLogger("catgan").addHandler(self._log)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(_ANSWER_SECS)
        logging.getLogger("catgan").removeHandler(self._log)

    def cause(self) -> str:
        """Returns why this worker should stop, or ""."""
        return self._cause

    def latest_cause(self) -> str:
        """Asks the driver once more and returns why this worker should stop, or ""."""
        self._check_in()
        return self._cause

    def wish(self, cause: str) -> None:
        """Takes this worker's own reason to stop, and lets the others know it. Does not wait."""
        self._cause = cause
        self._coordinator.wish.remote(self._attempt, cause)

    def begins(self, step: int) -> None:
        """Notes that training begins, `step` being finished."""
        self._step, self._moved_at = step, time.monotonic()

    def moved(self, step: int) -> None:
        """Notes that `step` is finished."""
        self._step, self._moved_at = step, time.monotonic()
        self.trained_at = self.trained_at or time.time()

    def ends(self, step: int) -> None:
        """Notes that no step follows `step`: what it left to be stored and measured does."""
        self._step, self._moved_at, self._ends = step, time.monotonic(), True

    def fail(self, error: BaseException) -> None:
        """Tells the driver of an error, before it reaches Ray."""
        own = isinstance(error, CatganError)
        failure = Failure(
            self.rank,
            self.host,
            type(error).__name__,
            error.what if isinstance(error, CatganError) else _in_a_line(error),
            error.expected if isinstance(error, CatganError) else "",
            error.remedy if isinstance(error, CatganError) else "",
            own,
            "".join(traceback.format_exception(error)),
        )
        self._send(self._coordinator.fail.remote(self._attempt, failure))

    def _run(self) -> None:
        while not self._over.wait(CHECK_IN_SECS):
            self._check_in()
            self._watch()
        self._check_in()

    def _check_in(self) -> None:
        stood = time.monotonic() - self._moved_at
        stores = stood > CHECK_IN_SECS and self._place().stores
        beat = Beat(self.rank, self.host, os.getpid(), self._step, stood, stores)
        wish = self._send(self._coordinator.check_in.remote(self._attempt, beat, self._log.take()))
        self._cause = self._cause or wish

    def _send(self, call: Any) -> Any:
        try:
            return ray.get(call, timeout=_ANSWER_SECS)
        except ray.exceptions.RayError:
            # The driver is gone, and Ray will end this process; or it is only slow.
            return ""

    def _place(self) -> Place:
        return place_of(self._trainer, all_stacks())

    def _watch(self) -> None:
        stood = time.monotonic() - self._moved_at
        begun = self.trained_at is not None
        limit = self._hang_timeout_secs if begun else self._start_timeout_secs
        if stood < limit:
            return
        place = self._place()
        if stood < limit + self._patience_secs(place):
            return
        self._send(self._coordinator.fail.remote(self._attempt, self._hang(place, stood, limit)))
        # A thread that is stuck in native code cannot be ended in any other way.
        os.kill(os.getpid(), signal.SIGKILL)

    def _patience_secs(self, place: Place) -> float:
        """How much longer than its limit a worker may stand there: what is waited for has its own.

        Not for ever: a disk of a network may hang, and says nothing.
        """
        waits_for_storage = place.stores or (
            place.waits and self._send(self._coordinator.stores.remote(self._attempt))
        )
        patience = _COURTESY_SECS if place.waits else 0.0
        if self._ends or waits_for_storage:
            patience += limits.current().deadline_secs
        return patience + (_LAST_WORK_SECS if self._ends else 0.0)

    def _hang(self, place: Place, stood: float, limit: float) -> Failure:
        done = f"after step {self._step:,}" if self._step > 0 else "before its first step"
        begun = self.trained_at is not None
        key = "hang" if begun or limit == self._hang_timeout_secs else "start"
        expected = f"a step within cluster.{key}_timeout_secs={limit:g}"
        if self._ends:
            expected = f"its end within {limit:g} s, and what storage and a measurement may take"
        return Failure(
            self.rank,
            self.host,
            "Waiting" if place.waits else "Hang",
            f"stood still for {duration(stood)} {done}, {place.words}",
            expected,
            "",
            False,
            place.trace,
        )


class _Forward(logging.Handler):
    """Keeps a worker's log lines until they are taken: rank 0's, and all warnings."""

    def __init__(self, rank: int, host: str) -> None:
        super().__init__(logging.INFO if rank == 0 else logging.WARNING)
        self._rank, self._host = rank, host
        self._waiting: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = Line(self._rank, self._host, record.levelno, record.getMessage())
        self._waiting = [*self._waiting, line][-_MOST_LINES:]

    def take(self) -> list[Line]:
        """Returns what waits."""
        with self.lock or threading.RLock():
            lines, self._waiting = self._waiting, []
        return lines


def _in_a_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
