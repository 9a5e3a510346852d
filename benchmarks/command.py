"""`catgan` commands of a benchmark: run to their end, or while something is done to them.

Owns their processes, the file of a log, and what is read there.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.processes import ROOT

_POLL_SECS = 0.2


def catgan(*words: object) -> str:
    """Runs a command to its end; returns its standard output.

    Raises:
        SystemExit: It failed; with the end of what it said.
    """
    command = [sys.executable, "-m", "trainer", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        told = " ".join(command[3:])
        raise SystemExit(f"{told} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


class Command:
    """One command, started.

    Args:
        folder: Where it runs, and where its log lies.
        words: Behind `catgan`.
    """

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.log = folder / f"catgan-{len(list(folder.glob('catgan-*')))}.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainer", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("w"),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def told(self) -> str:
        """The whole log."""
        return self.log.read_text()

    def step(self) -> int:
        """The last step in the log, -1 if there is none."""
        found = re.findall(r"step ([\d,]+) of", self.told())
        return int(found[-1].replace(",", "")) if found else -1

    def lines(self) -> int:
        """How many lines of the log name a step."""
        return len(re.findall(r"step [\d,]+ of", self.told()))

    def await_lines(self, lines: int, secs: float = 600.0) -> None:
        """Returns once so many lines name a step; they come every few seconds.

        Raises:
            RuntimeError: The command ended, or the time is over.
        """
        until = time.monotonic() + secs
        while self.lines() < lines:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no step:\n{self.told()[-3000:]}")
            time.sleep(_POLL_SECS)

    def close(self) -> None:
        """Kills it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
