"""From the kill of a worker to the next step, and where the time goes.

    python -m benchmarks.recovery
    python -m benchmarks.recovery --kills 12 --write

`debug.yaml` with two workers on a Ray cluster of this machine, as `catgan train` starts it.
One worker, then the other, gets a SIGKILL some seconds after training has gone on. The times
are those of the program's own log: from the last finished step before the kill to the first
one after it, split into stretches. The work that is lost is counted from the log too: steps
that were finished and had to be done again. To reach: 25 s, and no more work than one
checkpoint interval; the aim is 15 s.
"""

import argparse
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import timing
from benchmarks.command import Command
from benchmarks.processes import ROOT

MOST_SECS = 25.0
CONFIG = ROOT / "configs" / "debug.yaml"
CHECKPOINT_EVERY_STEPS = 1000
_TOLD = re.compile(r"([\d.]+) s from the last step to this one: (.*)")
_STRETCH = re.compile(r"([\d.]+) s (to [a-z ]+)")
_AGAIN = re.compile(r"going on from step ([\d,]+)")


@dataclass(frozen=True)
class Recovery:
    """One kill and what followed.

    Attributes:
        total_secs: From the last step before to the first one after.
        stretches: Seconds by what they were for, in order.
        lost_steps: That the log had named, and that were done again.
    """

    total_secs: float
    stretches: dict[str, float]
    lost_steps: int


def main() -> None:
    options = parse()
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as name:
        recoveries = killed_often(Path(name), options)
    lost = [one.lost_steps for one in recoveries]
    timing.publish(
        "recovery",
        "Recovery from a killed worker",
        ["tensorflow", "keras", "ray"],
        watch.told_before(),
        f"`{CONFIG.name}` with two workers, {len(recoveries)} kills, a checkpoint every "
        f"{CHECKPOINT_EVERY_STEPS:,} steps.",
        timing.table(
            ["from the last step to the next", "median, s", "longest, s"], rows_of(recoveries)
        ),
        f"To reach: {MOST_SECS:.0f} s. Steps done again: median {statistics.median(lost):.0f}, "
        f"most {max(lost)}.",
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def killed_often(folder: Path, options: argparse.Namespace) -> list[Recovery]:
    """Trains, kills, and returns what the log said each time."""
    chance = random.Random(options.seed)
    words = ["train", str(CONFIG), f"run={folder / 'run'}", f"dataset.address={folder / 'data'}"]
    words += ["training.steps=10000000", f"checkpoint.every_steps={CHECKPOINT_EVERY_STEPS}"]
    words += ["cluster.workers=2", "cluster.max_failures=-1", "log.every_secs=1"]
    words += ["cluster.max_same_step_failures=1000"]  # kills may come before a checkpoint
    command = Command(folder, words)
    try:
        found = []
        for number in range(options.kills):
            command.await_lines(command.lines() + 5)
            time.sleep(chance.uniform(0.0, 10.0))
            found.append(killed(command, rank=number % 2))
            print(f"{found[-1].total_secs:.1f} s", file=sys.stderr, flush=True)
        command.process.send_signal(signal.SIGTERM)
        command.process.wait(120)
        return found
    finally:
        command.close()


def killed(command: Command, rank: int) -> Recovery:
    """Kills one worker and waits until training goes on."""
    before, lines = command.step(), len(_TOLD.findall(command.told()))
    os.kill(workers(command)[rank].pid, signal.SIGKILL)
    until = time.monotonic() + 300
    while len(_TOLD.findall(command.told())) == lines:
        if command.process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"no step after a kill:\n{command.told()[-3000:]}")
        time.sleep(0.2)
    secs, parts = _TOLD.findall(command.told())[-1]
    again = _AGAIN.findall(command.told()) or ["0"]  # killed before its first checkpoint
    began = int(again[-1].replace(",", ""))
    stretches = {what: float(part) for part, what in _STRETCH.findall(parts)}
    return Recovery(float(secs), stretches, before - began)


def workers(command: Command) -> list[psutil.Process]:
    """The two training processes, oldest first."""
    children = psutil.Process(command.process.pid).children(recursive=True)
    found = [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]
    return sorted(found, key=lambda child: child.pid)


def rows_of(recoveries: list[Recovery]) -> list[list[object]]:
    """A row for each stretch, and one for the whole."""
    rows: list[list[object]] = []
    for what in recoveries[0].stretches:
        secs = [one.stretches[what] for one in recoveries]
        rows.append([what, f"{statistics.median(secs):.1f}", f"{max(secs):.1f}"])
    totals = [one.total_secs for one in recoveries]
    whole = ["**whole**", f"**{statistics.median(totals):.1f}**", f"**{max(totals):.1f}**"]
    return [*rows, whole]


if __name__ == "__main__":
    main()
