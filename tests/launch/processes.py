"""Starting, killing and waiting for real processes of the program.

Owns the client of `fork_server.py`. A process is the command line unless it is told to
call a function of `programs.py`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from tests.conftest import REPOSITORY

SECS = 240.0
"""How long anything is waited for; only a fault takes so long."""


class Process:
    """One process; its output lies in files."""

    def __init__(self, server: "ForkServer", pid: int, out: Path, err: Path) -> None:
        self._server = server
        self._out, self._err = out, err
        self._code: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._server.ask({"poll": self.pid})["code"]
        return self._code

    def wait(self, secs: float = SECS) -> int:
        """The exit code; negative for a signal."""
        wait_until(lambda: self.poll() is not None, self.told, secs)
        return self._code

    def send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, unless it has ended; waits until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def succeed(self) -> Self:
        code = self.wait()
        assert code == 0, f"exit code {code}: {self.told()}"
        return self

    def wait_for(self, word: str, secs: float = SECS) -> None:
        """Returns once it has said `word` on standard error."""
        wait_until(lambda: word in self.told() or self.poll() is not None, self.told, secs)
        assert word in self.told(), self.told()

    def told(self) -> str:
        """What it wrote to standard error."""
        return self._err.read_text() if self._err.exists() else ""

    def output(self) -> str:
        """What it wrote to standard output."""
        return self._out.read_text() if self._out.exists() else ""


def wait_until(
    is_so: Callable[[], Any], told: Callable[[], str] = lambda: "", secs: float = SECS
) -> None:
    """Polls until it is so; fails with what was told after `secs`."""
    until = time.monotonic() + secs
    while not is_so():
        assert time.monotonic() < until, f"not within {secs} s: {told()}"
        time.sleep(0.01)


class ForkServer:
    """Starts processes. Safe to use from several threads; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.launch.fork_server"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.stdin.close()
        self._server.wait(SECS)
        self._server.stdout.close()

    def catgan(self, *words: str, env: dict[str, str] | None = None) -> Process:
        """Starts `catgan WORDS`."""
        return self.call("trainer.cli.main:run", list(words), env=env)

    def call(self, function: str, args: Sequence[Any], env: dict[str, str] | None = None):
        """Starts `module:function(args)`, which returns the exit code."""
        with self._lock:
            self._count += 1
            out, err = (self._folder / f"{self._count:03d}.{end}" for end in ("out", "err"))
        order = {
            "call": function,
            "args": list(args),
            "env": _storage_env() | (env or {}),
            "cwd": str(self._folder),
            "stdout": str(out),
            "stderr": str(err),
        }
        return Process(self, self.ask({"start": order})["pid"], out, err)

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._server.stdin.write(json.dumps(order) + "\n")
            self._server.stdin.flush()
            return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._server.stdout.readline()
        assert line, f"the fork server is gone: exit code {self._server.wait(SECS)}"
        return json.loads(line)


def _storage_env() -> dict[str, str]:
    """What a test set for its bucket since the server was started."""
    names = [key for key in os.environ if key.startswith(("STORAGE_", "CATGAN_"))]
    return {name: os.environ[name] for name in names}
