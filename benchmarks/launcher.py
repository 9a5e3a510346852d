"""What launching with Ray costs: `catgan train` against the same two processes by hand.

    python -m benchmarks.launcher
    python -m benchmarks.launcher --rounds 5 --write

Both train `cats64` as shipped, on drawn cats, with two workers: the same worker function,
stream, callbacks and checkpoints. Once Ray starts the workers, and carries their log lines,
heartbeats and pointer checkpoints; once two processes are started by hand with TF_CONFIG.
Rounds alternate. The figure is the median time of a step, from the rows of metrics after a
warm-up; to reach: at most 1.02.

Ray's own processes (store, head, agents, controller) take about a tenth of a core all the time.
So workers, Ray's or not, are pinned to one core and everything else to another: what is
compared is the step, with a core to spare for the daemons as any real machine has. With
`--no-spare-core` nothing is pinned, and where two workers fill a machine's only two cores the
daemons' tenth is the workers' loss.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks import timing
from benchmarks.processes import ROOT
from benchmarks.workers import tf_configs

MOST = 1.02
WARM_UP_STEPS = 40
WORKERS, OTHERS = "0", "1"  # cores


def main() -> None:
    options = parse()
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = f"{folder}/data"
        overrides = [
            f"training.steps={options.steps}",
            f"training.global_batch={options.batch}",
            f"dataset.address={dataset}",
            "dataset.source=drawn:2048",
            "metrics.every_steps=10",
            f"checkpoint.every_steps={options.steps // 2}",
            "cluster.workers=2",
            "cluster.cpus_per_worker=1",
        ]
        with_ray, by_hand = [], []
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            # In turn first and second; the data set is there after the first command.
            run = [f"run={folder}/ray-{number}", *overrides]
            hand = [f"run={folder}/hand-{number}", *overrides]
            if number % 2 == 0:
                with_ray.append(step_secs_with_ray(options, run))
                by_hand.append(step_secs_by_hand(options, hand))
            else:
                by_hand.append(step_secs_by_hand(options, hand))
                with_ray.append(step_secs_with_ray(options, run))
    ratios = [a / b for a, b in zip(with_ray, by_hand, strict=True)]
    row = [
        f"{1e3 * statistics.median(with_ray):.1f}",
        f"{1e3 * statistics.median(by_hand):.1f}",
        f"{statistics.median(ratios):.3f}",
        f"{min(ratios):.3f} to {max(ratios):.3f}",
        f"≤ {MOST}",
    ]
    header = ["Ray, ms a step", "by hand, ms a step", "ratio", "range", "to reach"]
    timing.publish(
        "launcher" if options.spare_core else "launcher_all_cores",
        "The launcher",
        ["tensorflow", "keras", "ray"],
        watch.told_before(),
        f"`{options.config.name}`, global batch {options.batch}, {options.steps} steps a run, "
        f"two workers of one thread each, {options.rounds} rounds; "
        + (
            "both on one core, Ray's own processes on another."
            if options.spare_core
            else "nothing is pinned: the workers and Ray's own processes share all cores."
        ),
        timing.table(header, [row]),
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "cats64.yaml")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=140)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spare-core", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def step_secs_with_ray(options: argparse.Namespace, overrides: list[str]) -> float:
    """Trains with `catgan train`; returns the median seconds of a step."""
    words = [sys.executable, "-m", "trainer", "train", str(options.config), *overrides]
    process = subprocess.Popen([*_on(options, OTHERS), *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    with _workers_on(process.pid, WORKERS if options.spare_core else ""):
        _succeed([process])
    return step_secs(overrides[0].removeprefix("run="))


def step_secs_by_hand(options: argparse.Namespace, overrides: list[str]) -> float:
    """Trains with two processes of our own; returns the median seconds of a step."""
    processes = []
    for tf_config in tf_configs(2):
        environment = os.environ | {
            "TF_CONFIG": tf_config,
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "2",
        }
        words = ["-m", "benchmarks.launcher_by_hand", str(options.config), *overrides]
        command = [*_on(options, WORKERS), sys.executable, *words]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))
    _succeed(processes)
    return step_secs(overrides[0].removeprefix("run="))


def _on(options: argparse.Namespace, core: str) -> list[str]:
    return ["taskset", "-c", core] if options.spare_core else []


@contextmanager
def _workers_on(driver: int, core: str) -> Iterator[None]:
    """Keeps the training processes below a driver on a core, as they come."""
    over = threading.Event()

    def pin() -> None:
        while not over.wait(0.5):
            with suppress(psutil.Error):
                for child in psutil.Process(driver).children(recursive=True):
                    if "RayTrainWorker" in " ".join(child.cmdline()):
                        _pin(child, int(core))

    thread = threading.Thread(target=pin, daemon=True)
    if core:
        thread.start()
    try:
        yield
    finally:
        over.set()


def _pin(process: psutil.Process, core: int) -> None:
    """All threads: the system's call is about one."""
    for thread in process.threads():
        with suppress(OSError):
            os.sched_setaffinity(thread.id, {core})


def _succeed(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        if process.wait() != 0:
            raise SystemExit(f"{' '.join(process.args[:4])} … ended with {process.returncode}")


def step_secs(run: str) -> float:
    """Returns the median seconds of a step, from a run's rows after the warm-up."""
    from trainer import storage
    from trainer.run_folder import RunFolder, read_metrics

    rows = [
        row
        for row in read_metrics(RunFolder(storage.open_folder(run)))
        if row["step"] > WARM_UP_STEPS
    ]
    batch = rows[0]["images_seen"] / rows[0]["step"]
    return statistics.median(batch / row["images_per_sec"] for row in rows)


if __name__ == "__main__":
    main()
