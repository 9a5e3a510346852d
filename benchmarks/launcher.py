"""What launching with Ray costs: `catgan train` against the same two processes by hand.

    python -m benchmarks.launcher
    python -m benchmarks.launcher --rounds 5 --write

Both train `cats64` as shipped, on drawn cats, with two workers: the same worker function,
stream, callbacks and checkpoints. Once Ray starts the workers, and carries their log lines,
heartbeats and pointer checkpoints; once two processes are started by hand with TF_CONFIG.
Rounds alternate. The figure is the median time of a step, from the rows of metrics after a
warm-up; to reach: at most 1.02.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import ROOT
from benchmarks.workers import tf_configs

MOST = 1.02
WARM_UP_STEPS = 60


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
                with_ray.append(step_secs_with_ray(options.config, run))
                by_hand.append(step_secs_by_hand(options.config, hand))
            else:
                by_hand.append(step_secs_by_hand(options.config, hand))
                with_ray.append(step_secs_with_ray(options.config, run))
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
        "launcher",
        "The launcher",
        ["tensorflow", "keras", "ray"],
        watch.told_before(),
        f"`{options.config.name}`, global batch {options.batch}, {options.steps} steps a run, "
        f"two workers of one thread each, {options.rounds} rounds.",
        timing.table(header, [row]),
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "cats64.yaml")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def step_secs_with_ray(config: Path, overrides: list[str]) -> float:
    """Trains with `catgan train`; returns the median seconds of a step."""
    command = [sys.executable, "-m", "trainer", "train", str(config), *overrides]
    _succeed([subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)])
    return step_secs(overrides[0].removeprefix("run="))


def step_secs_by_hand(config: Path, overrides: list[str]) -> float:
    """Trains with two processes of our own; returns the median seconds of a step."""
    processes = []
    for tf_config in tf_configs(2):
        environment = os.environ | {
            "TF_CONFIG": tf_config,
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "2",
        }
        command = [sys.executable, "-m", "benchmarks.launcher_by_hand", str(config), *overrides]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))
    _succeed(processes)
    return step_secs(overrides[0].removeprefix("run="))


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
