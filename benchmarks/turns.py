"""Commands that take turns, so that a slow minute of the machine falls on all alike.

Owns who runs when: one command at a time, for some seconds, while the others stand still. A
command that has had its time is told to end (SIGINT) and may do so in peace.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.processes import ROOT

# Long beside what it takes to fill the caches again, short beside the minutes of a slow machine.
TURN_SECS = 15.0
_END_SECS = 900


def take_turns(
    commands: Mapping[str, Sequence[str]], secs: float, logs: Path, turn_secs: float = TURN_SECS
) -> dict[str, int]:
    """Runs commands in turns until each has had its time.

    Args:
        commands: By name.
        secs: For each, starting included; ending is not.
        logs: Folder for what they say, `NAME.log`.
        turn_secs: Of a turn.

    Returns:
        Exit codes by name.
    """
    logs.mkdir(parents=True, exist_ok=True)
    runners = {name: _Runner(words, logs / f"{name}.log") for name, words in commands.items()}
    try:
        waiting = list(runners.values())
        while waiting:
            for runner in waiting:
                runner.run(min(turn_secs, secs - runner.had_secs))
                if runner.had_secs >= secs:
                    runner.end()
            waiting = [runner for runner in waiting if runner.code is None]
        return {name: runner.code for name, runner in runners.items()}
    finally:
        for runner in runners.values():
            runner.kill()


class _Runner:
    """A command in a process group of its own, started at its first turn.

    Attributes:
        had_secs: Time in which it ran.
        code: Its exit code, None while it lives.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self._words, self._log = words, log
        self._process: subprocess.Popen | None = None
        self.had_secs = 0.0
        self.code: int | None = None

    def run(self, secs: float) -> None:
        """Lets it run for some seconds, or until it ends."""
        began = time.monotonic()
        if self._process is None:
            with self._log.open("w", encoding="utf-8") as log:
                self._process = subprocess.Popen(
                    self._words, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
                )
        else:
            os.killpg(self._process.pid, signal.SIGCONT)
        try:
            self.code = self._process.wait(secs)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGSTOP)
        self.had_secs += time.monotonic() - began

    def end(self) -> None:
        """Tells it to end and waits for that; nothing if it has ended."""
        if self.code is None:
            self._process.send_signal(signal.SIGINT)
            os.killpg(self._process.pid, signal.SIGCONT)
            self.code = self._process.wait(_END_SECS)

    def kill(self) -> None:
        """Leaves nothing behind."""
        if self._process and self.code is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self.code = self._process.wait()
