"""A real Ray cluster of several nodes on this machine, and the processes of each.

Owns starting and killing nodes and finding their processes. Each node is a raylet of
its own; a node that is killed takes its workers along, as a machine does.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

STORE_BYTES = 100_000_000


class Nodes:
    """The nodes; the first one is the head and has no room for workers."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._temp = tempfile.mkdtemp(prefix="catgan-test-", dir="/tmp")
        # Ray notes its newest cluster there, and on a new machine does not make the folder.
        Path("/tmp/ray").mkdir(exist_ok=True)
        head = {
            "num_cpus": 0,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "temp_dir": self._temp,
        }
        self._cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)

    @property
    def address(self) -> str:
        return self._cluster.address

    @property
    def head(self) -> Any:
        return self._cluster.head_node

    def add(self, cpus: int = 1, ip: str | None = None) -> Any:
        """Adds a node with room for `cpus` workers of one core; with an `ip` like 127.0.0.2 it
        is taken for another machine."""
        return self._cluster.add_node(
            num_cpus=cpus,
            num_gpus=0,
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            **({"node_ip_address": ip} if ip else {}),
        )

    def kill(self, node: Any) -> None:
        """Kills a node and everything on it with SIGKILL."""
        processes = children(raylet_of(node))
        for process in [psutil.Process(raylet_of(node)), *processes]:
            quietly(process, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def workers(self, nodes: list[Any] | None = None) -> list[psutil.Process]:
        """The training processes, by rank as far as Ray gives ranks by age."""
        found = []
        for node in nodes or [self.head, *self._cluster.worker_nodes]:
            for process in children(raylet_of(node)):
                if "RayTrainWorker" in " ".join(cmdline(process)):
                    found.append(process)
        return found

    def rank(self, rank: int) -> psutil.Process:
        """The newest process of a rank, as Ray's own log names it."""
        logs = Path(self._temp).glob("session_*/logs/train/*controller*.log")
        return psutil.Process(newest_pid(logs, rank))

    def of(self, worker: psutil.Process) -> Any:
        """The node that a process runs on."""
        return next(
            node for node in self._cluster.worker_nodes if worker in children(raylet_of(node))
        )

    def close(self) -> None:
        pids = [
            process
            for node in [self.head, *self._cluster.worker_nodes]
            if node is not None
            for process in children(raylet_of(node))
        ]
        self._cluster.shutdown()
        for process in pids:
            quietly(process, signal.SIGKILL)
        subprocess.run(["rm", "-rf", self._temp], check=False)


def newest_pid(logs: Iterable[Path], rank: int) -> int:
    """The process of a rank that Ray's controllers have noted last."""
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    found = re.findall(rf"pid=(\d+)\) world_rank={rank},", newest.read_text())
    return int(found[-1])


def raylet_of(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def quietly(process: psutil.Process, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


@contextmanager
def several(*cpus: int) -> Iterator[Nodes]:
    """A head and one node for each number of cores."""
    nodes = Nodes()
    try:
        for count in cpus:
            nodes.add(count)
        yield nodes
    finally:
        nodes.close()
