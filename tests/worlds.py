"""The same cases in one process and in several that train together, and their equality (C4)."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from trainer.data.prepare import PrepareOptions, prepare


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Worlds:
    """Runs of cases in so many processes, made when they are first asked for.

    Args:
        folder: For data set and results.
        cases: Words of each case's config, by name; the data set's address is added.
    """

    def __init__(self, folder: Path, cases: dict[str, list[str]]) -> None:
        self._folder, self._cases = folder, cases
        self._results: dict[tuple, dict[str, list[dict[str, np.ndarray]]]] = {}
        prepare("drawn:33", str(folder / "data"), PrepareOptions(size_px=32))

    def __call__(self, world_size: int, names: list[str]) -> dict[str, list[dict]]:
        """Returns `{case: [arrays of rank 0, of rank 1, ...]}`."""
        key = world_size, *names
        if key not in self._results:
            out = self._folder / str(len(self._results))
            out.mkdir()
            # For those who ask again: what failed once is not waited for again.
            self._results[key] = {}
            self._run(out, world_size, names)
            self._results[key] = {
                name: [dict(np.load(out / f"{name}.rank{r}.npz")) for r in range(world_size)]
                for name in names
            }
        assert self._results[key], f"{world_size} workers failed before"
        return self._results[key]

    def _run(self, out, world_size: int, names: list[str]) -> None:
        workers = [f"127.0.0.1:{port}" for port in _free_ports(world_size)]
        address = f"dataset.address={self._folder / 'data'}"
        cases = json.dumps({name: [*self._cases[name], address] for name in names})
        processes = []
        for rank in range(world_size):
            environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1"}
            if world_size > 1:
                task = {"type": "worker", "index": rank}
                cluster = {"cluster": {"worker": workers}, "task": task}
                environment["TF_CONFIG"] = json.dumps(cluster)
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.distribution_worker", str(out), cases],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        try:
            for process in processes:
                output, _ = process.communicate(timeout=1100)
                assert process.returncode == 0, output[-3000:]
        finally:
            for process in processes:
                process.kill()


def assert_same_state(alone: dict, state: dict, where: str) -> None:
    named = {n: v for n, v in alone.items() if not n.startswith(("figure/", "heard/", "seen/"))}
    named.pop("rows")
    assert named.keys() <= state.keys()
    for name, expected in named.items():
        # The last penalties are kept in float32.
        tolerance = 1e-6 if name.startswith("adaptive/") else 1e-10
        np.testing.assert_allclose(
            state[name], expected, rtol=tolerance, atol=tolerance, err_msg=f"{where}: {name}"
        )


def assert_same_run(alone: dict, ranks: list[dict]) -> None:
    for rank, state in enumerate(ranks):
        assert_same_state(alone, state, f"rank {rank}")
        for name in (n for n in alone if n.startswith("figure/")):
            np.testing.assert_allclose(state[name], alone[name], rtol=1e-5, atol=1e-6, err_msg=name)
    # Twenty steps have moved every trained tensor, so equality is not that of zeros.
    assert all(np.any(v != 0) for n, v in alone.items() if n.startswith("generator_optimizer/m"))
