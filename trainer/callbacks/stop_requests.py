"""Reasons to stop that come from outside: Ctrl-C, SIGTERM, a time limit, the cluster.

Owns the process's signal handlers while a run goes on. What ends the training is
`preemption.py`; exit codes are the error classes'. Knows no Keras: a driver of
workers, which trains nothing, uses it too.
"""

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from trainer.console import duration
from trainer.errors import CatganError, InterruptedRun, TerminatedRun

log = logging.getLogger("catgan")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_SHOW_CURSOR = b"\x1b[?25h"


class StopRequests:
    """Catches SIGINT and SIGTERM inside a `with` block and remembers any reason to stop.

    Before training has begun there is nothing to save, so the first signal
    raises at once. While it goes on, the first one is noted, to be seen after
    the current call, and a second one ends the process at once.

    Args:
        max_mins: Stop after so many minutes of training; 0: never.
        should_stop: Asked after each call; returns a reason to stop, or "".
        catch_signals: Set the handlers; only possible in the main thread.
    """

    def __init__(
        self,
        *,
        max_mins: float = 0.0,
        should_stop: Callable[[], str] = lambda: "",
        catch_signals: bool = True,
    ) -> None:
        self._max_secs = max_mins * 60
        self._should_stop = should_stop
        self._catch_signals = catch_signals
        self._lets_finish = False
        self._began = math.inf
        self._signal: int | None = None
        self._restore: list[tuple[int, Any]] = []
        self._cause = ""

    def __enter__(self) -> "StopRequests":
        if self._catch_signals:
            self._receiver, self._sender = socket.socketpair()
            self._sender.setblocking(False)
            self._old_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
            self._restore = [(n, signal.signal(n, self._handle)) for n in _SIGNALS]
            self._watcher = threading.Thread(target=self._watch, name="signals", daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._catch_signals:
            return
        for number, handler in self._restore:
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._sender.send(b"\0")
        self._watcher.join()
        self._sender.close()
        self._receiver.close()

    def lets_finish(self) -> None:
        """From now on a signal lets the current call finish."""
        self._lets_finish = True

    def training_begins(self) -> None:
        """As `lets_finish`; and the time limit, which is one of training, begins."""
        self._lets_finish = True
        self._began = time.monotonic()

    def cause(self) -> str:
        """Returns why training should stop now, in one line, or ""."""
        if self._signal is not None:
            self._cause = _WORDS[signal.Signals(self._signal)]
        elif not self._cause and self._lets_finish:
            over = self._max_secs and time.monotonic() - self._began >= self._max_secs
            limit = f"training.max_mins: {duration(self._max_secs)} are over"
            self._cause = limit if over else self._should_stop()
        return self._cause

    def raise_if_signalled(self, step: int, resume_command: str, *, instead: str = "") -> None:
        """Raises what ends the process after a signal; returns where there was none.

        Args:
            step: The last finished step of the run, 0 for none; its checkpoint is published.
            resume_command: What goes on from there.
            instead: Why its checkpoint could not be published, if it could not.

        Raises:
            InterruptedRun: After SIGINT.
            TerminatedRun: After SIGTERM.
        """
        if self._signal is None:
            return
        word = _WORDS[signal.Signals(self._signal)]
        if instead:
            what = f"{word} after step {step:,}, without a checkpoint of it: {instead}"
        elif step:
            what = f"{word} after step {step:,}; its checkpoint is published"
        else:
            what = f"{word} before the first step was done"
        raise self._error(what, remedy=f"to go on: {resume_command}")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first = self._signal is None
        self._signal = self._signal or number
        if first and not self._lets_finish:
            raise self._error(f"{_WORDS[signal.Signals(number)]} before training began")

    def _error(self, what: str, remedy: str = "") -> CatganError:
        kind = InterruptedRun if self._signal == signal.SIGINT else TerminatedRun
        return kind(what, remedy=remedy)

    def _watch(self) -> None:
        """Sees signals even while the main thread is inside a long native call."""
        seen = 0
        while (number := self._receiver.recv(1)[0]) != 0:
            if number not in _SIGNALS:
                continue
            seen += 1
            if seen > 1:
                # The person wants out: no clean-up that could hang.
                os.write(2, _SHOW_CURSOR if os.isatty(2) else b"")
                os._exit(128 + number)
            if self._lets_finish:
                log.warning(
                    "%s: finishing this step and publishing a checkpoint; once more exits at once",
                    signal.Signals(number).name,
                )
