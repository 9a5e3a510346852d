"""How well `catgan doctor` tells the time to the end of a run.

    python -m benchmarks.doctor_estimate
    python -m benchmarks.doctor_estimate --rounds 3 --write

The doctor looks at `debug.yaml`, then the run is really made, and its time is taken from
the start of the command to its end. The data set is there before, as for any second run. To
reach: within 20 %.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import timing
from benchmarks.command import catgan
from benchmarks.processes import ROOT

MOST = 0.20
CONFIG = ROOT / "configs" / "debug.yaml"


def main() -> None:
    options = parse()
    rows = []
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as name:
        place = Path(name)
        dataset = f"dataset.address={place / 'data'}"
        catgan("prepare", "drawn:4000", place / "data", "--size", 32)
        for number in range(options.rounds):
            run = (str(CONFIG), f"run={place / f'run-{number}'}", dataset)
            told = json.loads(catgan("doctor", *run, "--json"))["figures"]["left_secs"]
            began = time.monotonic()
            catgan("train", *run)
            took = time.monotonic() - began
            rows.append((told, took, told / took - 1))
            print(f"told {told:.0f} s, took {took:.0f} s", file=sys.stderr, flush=True)
    worst = max(abs(error) for _, _, error in rows)
    timing.publish(
        "doctor_estimate",
        "The doctor's estimate",
        ["tensorflow", "keras"],
        watch.told_before(),
        f"`{CONFIG.name}`, {options.rounds} rounds of examination and run.",
        timing.table(
            ["told, s", "took, s", "error"],
            [[f"{told:.0f}", f"{took:.0f}", f"{100 * error:+.0f} %"] for told, took, error in rows],
        ),
        f"Median error {100 * statistics.median(error for *_, error in rows):+.0f} %, worst "
        f"{100 * worst:.0f} %. To reach: {100 * MOST:.0f} %: "
        f"{'reached' if worst <= MOST else '**missed**'}.",
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
