"""A worker's line to the driver: where it is, what it logs, whether it should stop.

Owns the background thread that checks in about once a second, and the watchdog:
a worker that finishes no step for too long says where it stands and ends its own
process, because nothing else notices a live process with a stuck thread.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import ray

from trainer.console import duration
from trainer.errors import CatganError
from trainer.launch.coordinator import Beat, Failure, Line

CHECK_IN_SECS = 1.0
_ANSWER_SECS = 20.0
_MOST_LINES = 1000


class CheckIn:
    """Runs beside the training of one worker, inside a `with` block.

    Args:
        coordinator: Handle of the actor.
        attempt: Number of this attempt.
        rank: Of this worker.
        hang_timeout_secs: After so long without a finished step the process is killed.
        own_wish: Asked about once a second; returns this worker's own reason to stop, or "".

    Attributes:
        trained_at: When this worker finished its first steps, seconds since the epoch.
    """

    def __init__(
        self,
        coordinator: Any,
        attempt: int,
        rank: int,
        *,
        hang_timeout_secs: float,
        own_wish: Callable[[], str] = lambda: "",
    ) -> None:
        self._coordinator, self._attempt, self._rank = coordinator, attempt, rank
        self._hang_timeout_secs = hang_timeout_secs
        self._own_wish = own_wish
        self._host = socket.gethostname()
        self._step, self._moved_at = -1, time.monotonic()
        self._trainer = threading.get_ident()
        self._cause = ""
        self.trained_at: float | None = None
        self._over = threading.Event()
        self._log = _Forward(rank, self._host)
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

    def begins(self, step: int) -> None:
        """Notes that training begins, `step` being finished."""
        self._step, self._moved_at = step, time.monotonic()

    def moved(self, step: int) -> None:
        """Notes that `step` is finished."""
        self._step, self._moved_at = step, time.monotonic()
        self.trained_at = self.trained_at or time.time()

    def fail(self, error: BaseException) -> None:
        """Tells the driver of an error, before it reaches Ray."""
        own = isinstance(error, CatganError)
        failure = Failure(
            self._rank,
            self._host,
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
        beat = Beat(self._rank, self._host, os.getpid(), self._step, stood)
        wish = self._send(self._coordinator.check_in.remote(self._attempt, beat, self._log.take()))
        self._cause = self._cause or wish or self._own_wish()

    def _send(self, call: Any) -> Any:
        try:
            return ray.get(call, timeout=_ANSWER_SECS)
        except ray.exceptions.RayError:
            # The driver is gone, and Ray will end this process; or it is only slow.
            return ""

    def _watch(self) -> None:
        stood = time.monotonic() - self._moved_at
        if stood < self._hang_timeout_secs:
            return
        frame = sys._current_frames().get(self._trainer)
        where = _place(frame)
        done = f"step {self._step:,}" if self._step >= 0 else "its first step"
        after = "after" if self._step >= 0 else "before"
        trace = "".join(traceback.format_stack(frame)) if frame else ""
        failure = Failure(
            self._rank,
            self._host,
            "Hang",
            f"stood still for {duration(stood)} {after} {done}, {where}",
            f"a step within cluster.hang_timeout_secs={self._hang_timeout_secs:g}",
            "",
            False,
            trace,
        )
        self._send(self._coordinator.fail.remote(self._attempt, failure))
        # A thread that is stuck in native code cannot be ended in any other way.
        os.kill(os.getpid(), signal.SIGKILL)


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


def _place(frame: FrameType | None) -> str:
    """Says in words what a thread is doing, from its stack."""
    innermost = ""
    while frame is not None:
        name = frame.f_code.co_filename.replace(os.sep, "/")
        if "/data/ops/iterator_ops" in name:
            return "waiting for data"
        if "/tensorflow/python/" in name:
            return "in a step, perhaps waiting for another worker"
        if "/trainer/" in name and not innermost:
            innermost = f"in {name.rsplit('/trainer/', 1)[1]}:{frame.f_lineno}"
        frame = frame.f_back
    return innermost or "outside of the program"
