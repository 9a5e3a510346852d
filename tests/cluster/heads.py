"""A head node as a person starts one with `ray start`, with or without its job server.

Owns its processes, ports and token. `nodes.py` has the clusters that Ray's own test
helper makes; those have no job server.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.cluster.nodes import children, quietly
from tests.launch.processes import SECS, wait_until

STORE_BYTES = 100_000_000


@dataclass(frozen=True)
class Head:
    """A head node that answers.

    Attributes:
        address: `HOST:PORT` of its control service.
        dashboard: Address of its job server; "" if it has none.
        pid: Of `ray start`.
        token: File with its token; None: it wants none.
        python: That of its environment.
        folder: For logs.
    """

    address: str
    dashboard: str
    pid: int
    token: Path | None
    python: Path
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """What a program needs in its environment to be let in."""
        return _auth(self.token)

    @contextmanager
    def node(self, cpus: int) -> Iterator[int]:
        """One more node; yields the process of its `ray start`."""
        # On a disk of its own, as a machine has: nodes delete what they think nobody uses.
        temp = tempfile.mkdtemp(prefix="catgan-test-", dir="/tmp")
        words = ("--address", self.address, f"--temp-dir={temp}", f"--num-cpus={cpus}", *_small())
        try:
            with _started(self.python, self.folder, self.token, words, "node.log") as process:
                yield process.pid
        finally:
            shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def head(
    python: Path,
    folder: Path,
    *options: str,
    cpus: int = 2,
    jobs: bool = False,
    token: Path | None = None,
) -> Iterator[Head]:
    """Starts a head node and ends it with all its processes.

    Args:
        python: Of the environment that it runs in.
        folder: For its log.
        *options: More words for `ray start`.
        cpus: Cores that it gives out.
        jobs: With dashboard and job server.
        token: File with the token that it asks for; None: none.
    """
    temp = tempfile.mkdtemp(prefix="catgan-test-", dir="/tmp")
    port, dashboard = free_port(), free_port()
    words = (
        *("--head", f"--port={port}", f"--temp-dir={temp}", f"--num-cpus={cpus}", *_small()),
        f"--include-dashboard={str(jobs).lower()}",
        f"--dashboard-port={dashboard}",
        *options,
    )
    try:
        with _started(python, folder, token, words, "head.log") as process:
            log = folder / "head.log"
            for wanted in (port, *((dashboard,) if jobs else ())):
                wait_until(lambda wanted=wanted: answers(wanted), log.read_text, SECS)
            url = f"http://127.0.0.1:{dashboard}" if jobs else ""
            yield Head(f"127.0.0.1:{port}", url, process.pid, token, python, folder)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _small() -> tuple[str, ...]:
    # One port for all clusters of a machine is the default, and without it no job begins.
    agent = f"--dashboard-agent-listen-port={free_port()}"
    return ("--num-gpus=0", f"--object-store-memory={STORE_BYTES}", agent)


def _auth(token: Path | None) -> dict[str, str]:
    # Else it wants the token that it finds in the home folder.
    if token is None:
        return {"RAY_AUTH_MODE": "disabled"}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


@contextmanager
def _started(
    python: Path, folder: Path, token: Path | None, words: tuple[str, ...], log: str
) -> Iterator[subprocess.Popen]:
    path = f"{python.parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        [str(python), "-m", "ray.scripts.scripts", "start", "--block", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=(folder / log).open("w"),
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path, **_auth(token)},
        process_group=0,
    )
    try:
        yield process
    finally:
        for found in [psutil.Process(process.pid), *children(process.pid)]:
            quietly(found, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def ray(*words: str) -> str:
    """Runs Ray's own program; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        capture_output=True,
        text=True,
        timeout=SECS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
