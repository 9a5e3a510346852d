"""Contestants in processes of their own, asleep while it is not their turn.

Owns the pipe between a benchmark and its contestants. TensorFlow's and PyTorch's thread
pools disturb each other inside one process, and some settings (oneDNN) count only when a
process starts, so every contestant of `step.py` has one.

A line in is a JSON object of arguments, a line out is the JSON answer.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Contestant:
    """A process that answers calls.

    Args:
        arguments: A module and its arguments, as after `python -m`.
        python: The interpreter.
        environment: Added to this process's own.

    Raises:
        RuntimeError: The process ended; with the end of what it said.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._said = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            [python, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; may be called twice."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def call(self, **arguments: Any) -> Any:
        """Sends arguments and waits for the answer."""
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            raise RuntimeError(f"{self._process.args} ended:\n{self._said.read()[-3000:]}")
        return json.loads(line)


def serve(answer: Callable[..., Any]) -> None:
    """Answers calls until the pipe is closed; the contestant's side."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not look like an answer
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=out, flush=True)
