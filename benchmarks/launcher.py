"""What launching with Ray costs: `catgan train` against the same two processes by hand.

    python -m benchmarks.launcher
    python -m benchmarks.launcher --cycles 12 --write

Both train `cats64-quick` as shipped, on drawn cats, with two workers: the same worker function,
stream, callbacks and checkpoints. Once Ray starts the workers, and carries their log lines,
heartbeats and pointer checkpoints; once two processes are started by hand with TF_CONFIG.

Both pairs train at the same time, each on one core, and change cores again and again: what a
machine does slowly or quickly, and what others do on it, falls on both. A cycle is one window of
time on each core; its ratio says how many steps the pair by hand did for each of Ray's. To reach:
at most 1.02. What Ray's own processes (store, head, agents, controller) and the driver take of
the machine, whatever the number of workers, is told beside it; here it falls on both pairs alike.
"""

import argparse
import glob
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks import timing
from benchmarks.processes import ROOT
from benchmarks.workers import tf_configs

MOST = 1.02
WARM_UP_STEPS = 40
WAIT_SECS = 300
_POLL_SECS = 0.25


class Pair:
    """Two workers of a run, wherever they come from.

    Args:
        run: The run's folder.
        main: The process to ask to end, and whose children are told apart.
        workers: Returns the training processes once they are there.
        ended_by: What ends them.
    """

    def __init__(
        self,
        run: str,
        main: list[subprocess.Popen],
        workers: Callable[[], list[psutil.Process]],
        ended_by: signal.Signals,
    ) -> None:
        self._by = ended_by
        self._run, self._main, self._workers = run, main, workers
        self._rows: dict[int, float] = {}  # step -> seconds of training
        self._begun = float("inf")  # when its clock of training stood at zero

    @property
    def step(self) -> int:
        """The last step that a row tells of; 0: none yet."""
        return max(self._rows, default=0)

    @property
    def last(self) -> float:
        """The moment of that step."""
        return self._begun + self._rows.get(self.step, 0.0)

    def look(self) -> None:
        """Reads the rows that came, and notes how late they came at the least."""
        for process in self._main:
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(process.args[:4])} … ended too soon")
        lines = [
            line
            for name in glob.glob(f"{self._run}/metrics/**/*.jsonl", recursive=True)
            for line in Path(name).read_text().splitlines()
        ]
        for line in lines:
            with suppress(ValueError):  # half a line: the rest comes with the next look
                row = json.loads(line)
                self._rows[row["step"]] = row["seconds"]
        if self._rows:
            self._begun = min(self._begun, time.time() - self._rows[self.step])

    def steps_between(self, begin: float, end: float) -> float:
        """Returns the steps done between two moments, parts of one included."""
        import numpy as np

        steps = sorted(self._rows)
        moments = [self._begun + self._rows[step] for step in steps]
        if not moments[0] <= begin < end <= moments[-1]:
            raise SystemExit(f"{self._run} has no rows from the whole of a window")
        first, last = np.interp([begin, end], moments, steps)
        return float(last - first)

    def pin(self, core: int) -> None:
        """Moves the workers to a core, every thread: the system's call is about one."""
        for process in self._workers():
            for thread in process.threads():
                with suppress(OSError):
                    os.sched_setaffinity(thread.id, {core})

    def other_cpu_secs(self) -> float:
        """Returns what its processes besides the workers have used so far."""
        workers = {process.pid for process in self._workers()}
        used = 0.0
        for process in (process for main in self._main for process in _family(main.pid)):
            with suppress(psutil.Error):
                if process.pid not in workers:
                    times = process.cpu_times()
                    used += times.user + times.system
        return used

    def end(self) -> None:
        """Ends the run; how does not matter any more."""
        for process in self._main:
            process.send_signal(self._by)
        for process in self._main:
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


def main() -> None:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the pairs end with this process
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as temporary:
        overrides = [
            f"training.steps={10**6}",
            f"training.global_batch={options.batch}",
            f"dataset.address={temporary}/data",
            "dataset.source=drawn:2048",
            "metrics.every_steps=5",
            "checkpoint.every_steps=500",
            "cluster.workers=2",
            "cluster.cpus_per_worker=1",
        ]
        pairs: list[Pair] = []
        try:
            for begin in (with_ray, by_hand):  # in turn: the first one prepares the data set
                run = f"{temporary}/{begin.__name__}"
                pairs.append(begin(options, run, [f"run={run}", *overrides]))
                _wait_for(pairs, lambda pair: pair.step >= WARM_UP_STEPS)
            ratios, others = compare(pairs, options)
        finally:
            for pair in pairs:
                pair.end()
    publish(options, watch, ratios, others)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "cats64-quick.yaml")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--window-secs", type=float, default=20.0)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def compare(pairs: list[Pair], options: argparse.Namespace) -> tuple[list[tuple], float]:
    """Lets the pairs change cores; returns both pairs' steps of each cycle, and others' cores."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("two cores are needed, one for each pair")
    windows = []
    began, used = time.time(), pairs[0].other_cpu_secs()
    for number in range(2 * options.cycles):
        print(f"window {number + 1} of {2 * options.cycles}", file=sys.stderr, flush=True)
        for pair, core in zip(pairs, cores if number % 2 else cores[::-1], strict=True):
            pair.pin(core)
        begin = time.time() + 1.0  # caches are filled anew on the other core
        end = begin + options.window_secs
        _until(end, pairs)
        windows.append((begin, end))
    others = (pairs[0].other_cpu_secs() - used) / (time.time() - began)
    _wait_for(pairs, lambda pair: pair.last > end)  # rows are written some seconds later
    done = [[pair.steps_between(*window) for pair in pairs] for window in windows]
    cycles = [
        tuple(a + b for a, b in zip(first, second, strict=True))
        for first, second in zip(done[::2], done[1::2], strict=True)
    ]
    return cycles, others


def publish(
    options: argparse.Namespace, watch: timing.Watch, cycles: list[tuple], others: float
) -> None:
    """Prints, or writes, the table."""
    ratios = [hand / ray for ray, hand in cycles]
    secs = 2 * options.window_secs
    row = [
        *(f"{1e3 * secs / statistics.median(steps):.1f}" for steps in zip(*cycles, strict=True)),
        f"{statistics.median(ratios):.3f}",
        f"{min(ratios):.3f} to {max(ratios):.3f}",
        f"≤ {MOST}",
        f"{others:.2f}",
    ]
    header = ["Ray, ms a step", "by hand, ms a step", "ratio", "range", "to reach"]
    timing.publish(
        "launcher",
        "The launcher",
        ["tensorflow", "keras", "ray"],
        watch.told_before(),
        f"`{options.config.name}`, global batch {options.batch}; both pairs of workers at the same "
        f"time, each pair on one core, changing cores every {options.window_secs:.0f} s; "
        f"{options.cycles} cycles.",
        timing.table([*header, "Ray's other processes, cores"], [row]),
        write=options.write,
    )


def with_ray(options: argparse.Namespace, run: str, overrides: list[str]) -> Pair:
    """Begins `catgan train`."""
    words = [sys.executable, "-m", "trainer", "train", str(options.config), *overrides]
    driver = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)

    def workers() -> list[psutil.Process]:
        return [process for process in _family(driver.pid) if _is_worker(process)]

    return Pair(run, [driver], workers, signal.SIGTERM)


def by_hand(options: argparse.Namespace, run: str, overrides: list[str]) -> Pair:
    """Begins two processes of our own."""
    processes = []
    for tf_config in tf_configs(2):
        environment = os.environ | {
            "TF_CONFIG": tf_config,
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "2",
        }
        words = ["-m", "benchmarks.launcher_by_hand", str(options.config), *overrides]
        processes.append(subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment))
    workers = [psutil.Process(process.pid) for process in processes]
    return Pair(run, processes, lambda: workers, signal.SIGKILL)


def _wait_for(pairs: list[Pair], reached: Callable[[Pair], bool]) -> None:
    until = time.time() + WAIT_SECS
    while not all(reached(pair) for pair in pairs):
        if time.time() > until:
            raise SystemExit(f"no rows of metrics for {WAIT_SECS} s")
        _until(time.time() + 1, pairs)


def _until(moment: float, pairs: list[Pair]) -> None:
    while time.time() < moment:
        time.sleep(_POLL_SECS)
        for pair in pairs:
            pair.look()


def _family(pid: int) -> list[psutil.Process]:
    try:
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "RayTrainWorker" in " ".join(process.cmdline())
    return False


if __name__ == "__main__":
    main()
