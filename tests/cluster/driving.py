"""Starting `catgan train` on a cluster as a person does, and asking what became of it.

Owns the small config of these tests, the process of the command, and what is asked of a
run afterwards: verified checkpoints, the weights, nothing left behind.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
import psutil

from tests.cluster.nodes import newest_pid
from tests.conftest import REPOSITORY
from tests.launch.processes import wait_until
from trainer import checkpoint, storage
from trainer.run_folder import RunFolder, RunRecord, read_metrics
from trainer.storage.files import TEMPORARY_PREFIX

STEPS = 120
EVERY = 20
ROWS_EVERY = 5
BATCH = 12
SECS = 300.0

# Batches of 12 go to 1, 2, 3, 4 or 6 workers; a picture a lane. Double precision, so that
# a run whose number of workers changed can be compared. Every checkpoint stays.
CONFIG = f"""
deterministic: true
precision: float64
dataset: {{size_px: 32, val_fraction: 0, address: ADDRESS, lanes: {BATCH}}}
model: {{base_channels: 2, max_channels: 4, latent_dim: 8}}
training: {{steps: {STEPS}, global_batch: {BATCH}}}
loss: {{penalty_every_steps: 8}}
checkpoint: {{every_steps: {EVERY}, keep_last: 20}}
samples: {{every_steps: {STEPS}, count: 4}}
metrics: {{every_steps: {ROWS_EVERY}}}
log: {{tensorboard: false, every_secs: 0.5}}
cluster: {{workers: 2, cpus_per_worker: 1, start_timeout_secs: 120, hang_timeout_secs: 120}}
"""

# Handed on to the workers, so that they are found wherever they run.
_MARK = "CATGAN_TEST_MARK"
SLOWLY = (sys.executable, str(REPOSITORY / "tests" / "cluster" / "slowly.py"))
# Ray Train starts it once for a whole cluster and all its jobs, and keeps it.
_RAYS_OWN = "ray::_AutoscalingCoordinatorActor"


class Drive:
    """One `catgan` command, in a process group of its own; a context manager that leaves none.

    Args:
        folder: Where it runs, and where its output lies.
        *words: Of the command line.
        env: More variables.
        program: What is run; default: this checkout's package.
    """

    def __init__(
        self,
        folder: Path,
        *words: str,
        env: dict[str, str] | None = None,
        program: tuple[str, ...] = (sys.executable, "-m", "trainer"),
    ) -> None:
        number = len(list(folder.glob("drive-*.err")))
        self._err = folder / f"drive-{number}.err"
        self._mark = secrets.token_hex(8)
        given = {"PYTHONPATH": str(REPOSITORY), _MARK: self._mark, **(env or {})}
        self._process = subprocess.Popen(
            [*program, *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._err.open("w"),
            env={**os.environ, **given},
            process_group=0,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if kind is not None:
            print(f"exit code {self._process.returncode}: {self.told()}")

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def press_ctrl_c(self) -> None:
        """A terminal interrupts the whole process group."""
        os.killpg(self.pid, signal.SIGINT)

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

    def processes(self) -> list[psutil.Process]:
        """All living processes that it started, itself and those on other nodes too."""
        found = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(_MARK) == self._mark
                if marked and not process.name().startswith(_RAYS_OWN[:15]):
                    found.append(process)
            except psutil.Error:
                continue  # it has ended, or is somebody else's
        return found

    def workers(self) -> list[psutil.Process]:
        """Those that train, oldest first."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if "RayTrainWorker" in " ".join(process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def kill_worker(self, rank: int) -> None:
        """Kills the newest worker of a rank, in a cluster of its own."""
        logs = f"catgan-ray-*/session_*_{self.pid}/logs/train/*controller*.log"
        worker = psutil.Process(newest_pid(Path("/tmp").glob(logs), rank))
        # Else `leaves_nothing` could not fail.
        assert worker in self.workers(), f"{worker} has no mark: {worker.environ()}"
        worker.kill()

    def leaves_nothing(self) -> None:
        """Returns once none of its processes is left, nor a folder of a cluster of its own."""
        wait_until(
            lambda: not self.processes(), lambda: f"{self.processes()}: {self.told()}", SECS / 4
        )
        assert not list(Path("/tmp").glob(f"catgan-ray-*/session_*_{self.pid}"))

    def _ended(self) -> bool:
        return self._process.poll() is not None


def open_run(run: object) -> RunFolder:
    return RunFolder(storage.open_folder(str(run)))


def record(run: object) -> RunRecord:
    found = open_run(run).read_record()
    assert found is not None
    return found


def checkpoints(run: object) -> list[int]:
    """Steps of the checkpoints, each verified."""
    folder = open_run(run)
    listed = [item.step for item in checkpoint.list_all(folder)]
    for step in listed:
        checkpoint.open_step(folder, step)
    return listed


def state(run: object, step: int) -> dict[str, np.ndarray]:
    return checkpoint.open_step(open_run(run), step).load()


def final_state(run: object) -> dict[str, np.ndarray]:
    """The weights of the last step, after every checkpoint there was verified."""
    assert STEPS in checkpoints(run)
    return state(run, STEPS)


def assert_finished(run: object) -> None:
    """The run is finished and given back, each row is there once, and no temporary file."""
    found = record(run)
    assert (found.status, found.step, found.holder) == ("finished", STEPS, None)
    rows = read_metrics(open_run(run))
    steps = [row["step"] for row in rows]
    assert sorted(set(steps)) == steps
    assert set(range(ROWS_EVERY, STEPS + 1, ROWS_EVERY)) <= set(steps)
    assert all(row["images_seen"] == row["step"] * BATCH for row in rows)
    if not str(run).startswith("gs://"):
        assert not list(Path(str(run)).rglob(f"{TEMPORARY_PREFIX}*"))


def assert_same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not different, different


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Equal to 1e-10, as design C6 says of a run whose number of workers changed."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=0, atol=1e-10, err_msg=name)
