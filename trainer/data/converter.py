"""One converting process, seen by its parent.

Owns starting it, talking to it, replacing it when a file kills it or takes too long, and
that it ends with its parent. What it does is `converting.py`; how many there are is
`pool.py`.

It is a plain program with a line of its own, not a `multiprocessing` one: that would run
the parent's main module again, which a notebook or `python -` does not have, and would
take all workers along when one dies.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from trainer.data.convert import READERS_AT_ONCE, Outcome, Recipe, Task
from trainer.errors import ClusterError
from trainer.storage import limits

START_SECS = 120.0
"""How long the process may take to start; only a fault takes so long."""
_SLACK_SECS = 60.0
_LAST_SECS = 1.0
_PROGRAM = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from trainer.data.converting import serve; serve(given['line'])"
)


class CannotStart(ClusterError):
    """No converting process can be started."""


class _DiedError(Exception):
    """The process is gone; says what that makes of the file it had in hand."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Converter:
    """A process that converts chunks, one at a time; started when first needed.

    One thread at a time may use it; `kill` may come from any.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._lock = threading.Lock()
        self._killed = False

    def start(self) -> None:
        """Starts the process unless it runs.

        Raises:
            CannotStart: It ends, or says nothing for two minutes; or `kill` was called.
        """
        if self._process is not None:
            return
        try:
            with self._lock:
                if self._killed:
                    raise CannotStart("the converting processes were told to end")
                self._line, self._process = _started()
            self._exchange(self._recipe, START_SECS)
        except (EOFError, OSError) as error:
            how = f"ended with {self._end()}" if self._process else str(error)
            raise CannotStart(
                f"a converting process cannot be started: {how}",
                expected=f"{sys.executable} to run, with memory for one process a core",
                remedy="give fewer --workers",
            ) from error

    def convert(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Returns the outcomes of a few tasks, in their order.

        A decoder's crash takes the process along; each task is then tried alone, and
        only one that crashes again by itself is left out.

        Raises:
            CannotStart: The process cannot be started.
            StorageError: A bucket failed for longer than its deadline.
        """
        with suppress(_DiedError):
            return self._ask(tasks)
        return [outcome for task in tasks for outcome in self._alone(task)]

    def kill(self) -> None:
        """Ends the process at once and for good; what it had in hand is lost."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Ends the process and lets go of all that belongs to it."""
        self.kill()
        self._end()

    def _alone(self, task: Task) -> list[Outcome]:
        try:
            return self._ask([task])
        except _DiedError as death:
            return [Outcome(task.number, None, death.reason, death.detail)]

    def _ask(self, tasks: Sequence[Task]) -> list[Outcome]:
        self.start()
        try:
            answer = self._exchange(list(tasks), _limit_secs(tasks, self._recipe))
        except (EOFError, OSError) as error:
            if self._end() == -signal.SIGALRM:
                detail = f"it took longer than {self._recipe.decode_secs:g} s"
                raise _DiedError("too slow to decode", detail) from error
            raise _DiedError("decoder crashed", "the process that opened it died") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _exchange(self, message: object, secs: float) -> Any:
        """Returns the answer; raises EOFError or OSError if there comes none."""
        if self._line is None:
            raise EOFError
        self._line.send(message)
        if not self._line.poll(secs):
            raise EOFError
        return self._line.recv()

    def _end(self) -> int | None:
        """Waits for the process, kills it if it has not ended; returns its exit code."""
        line, process = self._line, self._process
        with self._lock:
            self._line = self._process = None
        if line is not None:
            line.close()
        if process is None:
            return None
        # A closed line ends it at once, unless it is at work or has been stopped.
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_LAST_SECS)
        process.kill()
        return process.wait()


def _started() -> tuple[Connection, subprocess.Popen[bytes]]:
    near, far = Pipe()
    with far:
        given = {"line": far.fileno(), "path": [os.path.abspath(entry) for entry in sys.path]}
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(given)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # ours is for the answer
            pass_fds=[far.fileno()],
            start_new_session=True,  # Ctrl-C in a terminal goes to its parent alone
        )
    return near, process


def _limit_secs(tasks: Sequence[Task], recipe: Recipe) -> float:
    """How long an answer may take if nothing but the files is at fault."""
    secs = _SLACK_SECS + len(tasks) * recipe.decode_secs
    if any(task.ref[0] == "bucket" for task in tasks):
        rounds = 1 + len(tasks) // READERS_AT_ONCE
        secs += rounds * limits.current().deadline_secs
    return secs
