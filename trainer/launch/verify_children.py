"""The processes of a verification: started one after another, never left behind.

Owns starting, waiting and stopping. What they do is `verify_process`'s.
"""

import json
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from types import FrameType, TracebackType
from typing import Any, Self

from trainer import child
from trainer.errors import CheckpointError, TerminatedRun
from trainer.launch.verify_process import Order

# The first process is waited for long; the others have its time as a measure.
_FIRST_SECS = 24 * 3600.0
_SPARE_SECS = 900.0
_SLOWER = 10.0
_TOLD_LINES = 15


class Children:
    """Runs processes; a context manager in which SIGTERM raises.

    Args:
        verbose: Let all of them write to standard error, not only the first, and libraries too.

    Attributes:
        slowest_secs: How long the slowest took so far.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._running: subprocess.Popen[str] | None = None
        self._before: Any = None
        self.slowest_secs = 0.0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _terminated)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait()
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if kind is _Terminated:
            raise TerminatedRun("terminated; the scratch runs are being removed") from None

    def run(self, order: Order, *, killed: bool) -> dict[str, Any]:
        """Has an order obeyed and returns the answer; empty if it was to be killed.

        Raises:
            CatganError: The process ended otherwise than it should; of the class that it
                ended with.
        """
        first = self.slowest_secs == 0.0
        limit = _FIRST_SECS if first else _SLOWER * self.slowest_secs + _SPARE_SECS
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as told:
            shown = None if first or self._verbose else told
            code, answer = self._obeyed(order, shown, limit)
            told.seek(0)
            said = told.read()
        self.slowest_secs = max(self.slowest_secs, time.monotonic() - began)
        if code == (-signal.SIGKILL if killed else 0):
            return json.loads(answer) if answer and not killed else {}
        raise _ended_badly(code, answer, said, killed)

    def _obeyed(self, order: Order, told: Any, limit_secs: float) -> tuple[int, str]:
        told_order = replace(order, verbose=self._verbose).to_json()
        self._running = process = subprocess.Popen(
            child.command("trainer.launch.verify_process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env=child.environment(),
        )
        try:
            answer, _ = process.communicate(told_order, timeout=limit_secs)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise CheckpointError(
                f"a process of the verification did not end within {limit_secs:.0f} s",
                expected=f"about {self.slowest_secs:.0f} s, as the slowest before it took",
                remedy="run it again with --verbose to see where it stands",
            ) from None
        return process.returncode, answer


class _Terminated(BaseException):
    """SIGTERM came; no `Exception`, for those that are raised while a line is logged get lost."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _ended_badly(code: int, answer: str, said: str, killed: bool) -> Exception:
    from trainer import errors

    try:
        told = json.loads(answer)
    except ValueError:
        told = {}
    if code > 0 and "what" in told:
        kinds = {kind.exit_code: kind for kind in errors.CatganError.__subclasses__()}
        return kinds.get(code, CheckpointError)(**told)
    lines = "\n".join(said.strip().splitlines()[-_TOLD_LINES:])
    should = "be killed by SIGKILL on the way" if killed else "train to the end"
    return CheckpointError(
        f"a process of the verification ended with code {code}; it should {should}"
        + (f"; its last words:\n{lines}" if lines else ""),
        expected="a process that trains as the config says",
        remedy="run it again with --verbose",
    )
