"""Starting `catgan train` on a cluster as a person does, and asking what became of it.

Owns the small config of these tests and the process of the command. What it ends in is
compared with a run that nobody disturbed.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import numpy as np

from tests.conftest import REPOSITORY
from tests.launch.processes import wait_until
from trainer import checkpoint, storage
from trainer.run_folder import RunFolder, RunRecord

STEPS = 120
EVERY = 20
SECS = 240.0

# Batches of 12 go to 1, 2, 3, 4 or 6 workers; a picture a lane. Double precision, so that
# a run whose number of workers changed can be compared.
CONFIG = f"""
deterministic: true
precision: float64
dataset: {{size_px: 32, val_fraction: 0, address: ADDRESS, lanes: 12}}
model: {{base_channels: 2, max_channels: 4, latent_dim: 8}}
training: {{steps: {STEPS}, global_batch: 12}}
loss: {{penalty_every_steps: 8}}
checkpoint: {{every_steps: {EVERY}}}
samples: {{every_steps: {STEPS}, count: 4}}
metrics: {{every_steps: 5}}
log: {{tensorboard: false, every_secs: 0.5}}
cluster: {{workers: 2, cpus_per_worker: 1, start_timeout_secs: 120, hang_timeout_secs: 120}}
"""


class Drive:
    """One `catgan` command; a context manager that leaves no process."""

    def __init__(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
        number = len(list(folder.glob("drive-*.err")))
        self._err = folder / f"drive-{number}.err"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trainer", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._err.open("w"),
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(env or {})},
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def told(self) -> str:
        return self._err.read_text()

    def step(self) -> int:
        """The last step that a line of its log named."""
        found = re.findall(r"step ([\d,]+) of", self.told())
        return int(found[-1].replace(",", "")) if found else -1

    def wait_for_step(self, step: int) -> None:
        """Returns once a log line names `step` or a later one."""
        wait_until(lambda: self.step() >= step or self._ended(), self.told, SECS)
        assert self.step() >= step, self.told()

    def wait_for(self, word: str, secs: float = SECS) -> None:
        wait_until(lambda: word in self.told() or self._ended(), self.told, secs)
        assert word in self.told(), self.told()

    def wait(self, secs: float = SECS) -> int:
        wait_until(self._ended, self.told, secs)
        return self._process.returncode

    def succeed(self) -> Self:
        code = self.wait()
        assert code == 0, f"exit code {code}: {self.told()}"
        return self

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._process.wait()

    def _ended(self) -> bool:
        return self._process.poll() is not None


def record(run: object) -> RunRecord:
    found = RunFolder(storage.open_folder(str(run))).read_record()
    assert found is not None
    return found


def final_state(run: object) -> dict[str, np.ndarray]:
    """The weights of the last step, after every checkpoint there was verified."""
    folder = RunFolder(storage.open_folder(str(run)))
    listed = checkpoint.list_all(folder)
    assert listed
    for item in listed:
        checkpoint.open_step(folder, item.step)
    return checkpoint.open_step(folder, STEPS).load()


def assert_same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not different, different
