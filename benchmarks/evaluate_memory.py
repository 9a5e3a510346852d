"""Peak memory of `catgan evaluate` with 50,000 pictures on each side, and with a tenth of them.

    python -m benchmarks.evaluate_memory
    python -m benchmarks.evaluate_memory --counts 5000,50000 --write

Every metric of drawn cats at 32 px against as many held-out ones. The feature network is a small
one with random weights: figures mean nothing here, only memory and time do. What must grow with
the count is the features themselves: five sets of them (judged, real, the other split's, and both
whole splits), 4 bytes a number. A matrix of distances of all pairs of 50,000 would be 20 GB.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import ROOT

SIZE_PX = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="5000,50000")
    parser.add_argument("--width", type=int, default=256, help="numbers of a feature")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    counts = [int(count) for count in options.counts.split(",")]
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        network = write_network(folder / "network.keras", options.width)
        catgan("prepare", f"drawn:{2 * max(counts)}", folder / "set", "--size", SIZE_PX,
               "--val-fraction", "0.5")  # fmt: skip
        rows = [row(folder / "set", network, count, options.width) for count in counts]
    timing.publish(
        "evaluate_memory",
        "Memory of an evaluation",
        ["tensorflow", "numpy"],
        watch,
        f"All metrics, {SIZE_PX} px, features of {options.width} numbers.",
        timing.table(
            ["pictures on each side", "peak memory", "five sets of features", "time"], rows
        ),
        write=options.write,
    )


def write_network(path: Path, width: int) -> Path:
    """Saves a feature network that costs next to nothing."""
    from trainer.quiet import import_tensorflow

    import_tensorflow()
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    keras.Sequential(
        [
            keras.Input((SIZE_PX, SIZE_PX, 3)),
            layers.Conv2D(width, 8, strides=8, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    ).save(path)
    return path


def row(dataset: Path, network: Path, count: int, width: int) -> list[str]:
    """Evaluates in a fresh process; its peak and time."""
    began = time.perf_counter()
    peak_mib = catgan("evaluate", dataset, "--against", dataset, "--features", network,
                      "--count", count)  # fmt: skip
    secs = time.perf_counter() - began
    features_mib = 5 * count * width * 4 / 2**20
    return [f"{count:,}", f"{peak_mib:,.0f} MiB", f"{features_mib:,.0f} MiB", f"{secs:.0f} s"]


def catgan(*words: object) -> float:
    """Runs a command and returns the peak of its resident memory, MiB."""
    command = [sys.executable, "-m", "trainer", *map(str, words)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(done.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
