"""Half an hour of training on a cluster where workers die and the bucket fails.

    python -m benchmarks.soak                  # 30 minutes
    python -m benchmarks.soak --minutes 5 --write

Real Ray nodes on this machine, run and data set in a real bucket server that fails one
request in twenty (503, resets, lost answers, cut streams). Every two to three minutes, at a
random moment, something gets a SIGKILL: mostly one of the two workers, sometimes a whole
node (another one is added) or the driver (`catgan resume` goes on). Near the end the number
of steps is set, by a resumption, so that the run finishes in time.

What must be so at the end: the command finished, the last step is right, every published
checkpoint verifies, rows of metrics have no gap, and no process, port or temporary file is
left behind. The script fails where it is not.
"""

import argparse
import collections
import itertools
import json
import os
import random
import secrets
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import timing
from benchmarks.command import Command
from benchmarks.stream_cold import serving
from tests.cluster.nodes import Nodes

RUN, DATASET = "gs://test-bucket/runs/soak", "gs://test-bucket/data"
MARK = "CATGAN_SOAK"
# Here a node that is started notes its address.
RAYS_OWN = "ray"
FAULTS = ("status", "reset", "lose_answer", "cut")
CONFIG = f"""
run: {RUN}
dataset: {{source: "drawn:512", address: {DATASET}, size_px: 32, memory_mib: 0}}
model: {{base_channels: 8}}
training: {{steps: 900000, global_batch: 32}}
checkpoint: {{every_steps: 100, keep_last: 5}}
samples: {{every_steps: 1000, count: 16}}
metrics: {{every_steps: 10}}
log: {{every_secs: 5}}
cluster: {{workers: 2, cpus_per_worker: 1, max_failures: -1, start_timeout_secs: 300}}
"""


@dataclass
class Story:
    """What happened.

    Attributes:
        kills: How often each kind of thing was killed.
        restart_secs: From each kill to the next finished step that was seen.
        faults: Requests that the bucket failed.
        requests: All requests of a kind that can fail.
    """

    kills: collections.Counter = field(default_factory=collections.Counter)
    restart_secs: list[float] = field(default_factory=list)
    faults: int = 0
    requests: int = 0


class Soak:
    """The cluster, the command and the killer."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options, self._folder = options, folder
        self._random = random.Random(options.seed)
        self._nodes = Nodes()
        self._spare = [self._nodes.add(1) for _ in range(3)]
        self.story = Story()
        self.total_steps = 0

    def run(self) -> None:
        """Trains, kills, and lets the run finish."""
        config = self._folder / "soak.yaml"
        config.write_text(CONFIG)
        began = time.monotonic()
        self._start(["train", str(config)])
        self._command.await_lines(1)
        end = began + 60 * self._options.minutes
        least, most = self._options.kill_every
        while time.monotonic() < end - most:
            time.sleep(self._random.uniform(least, most))
            self._kill()
        self._set_end(max(30.0, end - time.monotonic()))
        self._command.process.wait(1200)

    def close(self) -> None:
        """Ends what is left of the cluster."""
        self._command.close()
        self._nodes.close()

    @property
    def exit_code(self) -> int | None:
        """Of the last command."""
        return self._command.process.poll()

    def told(self) -> str:
        """All logs, in order."""
        logs = sorted(self._folder.glob("catgan-*.log"), key=lambda path: path.stat().st_ctime)
        return "\n".join(log.read_text() for log in logs)

    def _start(self, words: list[str]) -> None:
        words = [*words, "--address", self._nodes.address]
        self._command = Command(self._folder, words)

    def _kill(self) -> None:
        workers = self._nodes.workers()
        what = self._random.choices(("worker", "node", "driver"), (8, 1, 1))[0]
        if what == "worker" and not workers:
            return
        before = self._command.step()
        print(f"{time.strftime('%H:%M:%S')} killing a {what} near step {before}", flush=True)
        killed = time.monotonic()
        if what == "worker":
            os.kill(self._random.choice(workers).pid, signal.SIGKILL)
        elif what == "node":
            self._nodes.kill(self._spare.pop(0))
            self._spare.append(self._nodes.add(1))
        else:
            self._command.process.kill()
            self._command.process.wait()
            self._start(["resume", RUN])
        self.story.kills[what] += 1
        self._command.await_lines(1 if what == "driver" else self._command.lines() + 1)
        self.story.restart_secs.append(time.monotonic() - killed)

    def _set_end(self, left_secs: float) -> None:
        """Stops the run and resumes it with as many steps as fit into the time that is left."""
        first, at = self._command.step(), time.monotonic()
        self._command.await_lines(self._command.lines() + 2)
        speed = max(1.0, (self._command.step() - first) / (time.monotonic() - at))
        self._command.process.send_signal(signal.SIGTERM)
        code = self._command.process.wait(300)
        if code != 143:
            raise RuntimeError(f"SIGTERM ended it with {code}:\n{self._command.told()[-3000:]}")
        self.total_steps = self._command.step() + int(speed * left_secs)
        self._start(["resume", RUN, f"training.steps={self.total_steps}"])


def main() -> None:
    options = parse()
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as name:
        folder, mark = Path(name), secrets.token_hex(8)
        temporary = folder / "tmp"
        (temporary / RAYS_OWN).mkdir(parents=True)
        # All processes inherit both.
        os.environ |= {MARK: mark, "TMPDIR": str(temporary)}
        rows, problems = soaked(options, folder)
        left = left_over(mark, temporary)
    problems += [f"left behind: {thing}" for thing in left]
    rows.append(["left behind (processes, listening ports, temporary files)", len(left)])
    least, most = options.kill_every
    timing.publish(
        "soak",
        "Soak",
        ["tensorflow", "keras", "ray"],
        watch.told_before(),
        f"Two workers, {options.minutes:g} minutes, a SIGKILL every {least:g} to {most:g} s, "
        f"seed {options.seed}.",
        timing.table(["what", "figure"], rows),
        write=options.write,
    )
    if problems:
        sys.exit("\n".join(["", "NOT as it must be:", *problems]))


def soaked(options: argparse.Namespace, folder: Path) -> tuple[list[list[object]], list[str]]:
    """Runs it; returns rows of the table, and what is not as it must be."""
    (folder / "bucket").mkdir()
    with serving(folder / "bucket") as endpoint:
        fail_requests(endpoint, options.fault_share)
        os.environ["STORAGE_EMULATOR_HOST"] = endpoint
        soak = Soak(options, folder)
        try:
            soak.run()
            soak.story.faults, soak.story.requests = counted(endpoint)
            end_faults = urllib.request.Request(f"{endpoint}/faults", method="DELETE")
            urllib.request.urlopen(end_faults).close()
            return verified(soak)
        finally:
            soak.close()
            if options.keep_log:
                Path(options.keep_log).write_text(soak.told())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kill-every", type=float, nargs=2, default=(120.0, 180.0), metavar="SECS")
    parser.add_argument("--fault-share", type=float, default=0.05, help="of the bucket's requests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-log", help="file for the log of all commands")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def fail_requests(endpoint: str, share: float) -> None:
    """Lets the server fail a share of all requests, in several ways."""
    every = round(len(FAULTS) / share)
    for number, kind in enumerate(FAULTS):
        rule = {"kind": kind, "every": every, "after": number * every // len(FAULTS)}
        urllib.request.urlopen(f"{endpoint}/faults", data=json.dumps(rule).encode()).close()


def counted(endpoint: str) -> tuple[int, int]:
    """Returns how many requests were made to fail, and how many there were."""
    with urllib.request.urlopen(f"{endpoint}/faults") as answer:
        report = json.load(answer)
    return sum(rule["fired"] for rule in report["rules"]), sum(report["requests"].values())


def verified(soak: Soak) -> tuple[list[list[object]], list[str]]:
    """Looks at what the run left: rows of the table, and what is not as it must be."""
    from trainer import checkpoint, storage
    from trainer.run_folder import RunFolder, read_metrics

    run = RunFolder(storage.open_folder(RUN))
    record = run.read_record()
    listed = [item for item in checkpoint.list_all(run) if item.counts]
    bad = []
    for item in listed:
        try:
            checkpoint.open_step(run, item.step).load()
        except Exception as error:
            bad.append(f"step {item.step}: {error}")
    steps = [row["step"] for row in read_metrics(run)]
    gaps = [a for a, b in itertools.pairwise(steps) if b - a != 10]
    story, problems = soak.story, list(bad)
    if soak.exit_code != 0:
        problems.append(f"the last command ended with {soak.exit_code}: {soak.told()[-3000:]}")
    if record.status != "finished" or record.step != soak.total_steps:
        problems.append(f"{record.status} at step {record.step}, not {soak.total_steps}")
    if [gap for gap in gaps if gap != steps[-2]]:
        problems.append(f"rows of metrics have gaps after steps {gaps}")
    secs = story.restart_secs or [0.0]
    rows: list[list[object]] = [
        ["killed", ", ".join(f"{count} {what}s" for what, count in story.kills.items())],
        ["requests that the bucket failed", f"{story.faults:,} of {story.requests:,}"],
        ["starts of the run", len(record.starts)],
        ["status, last step", f"{record.status}, {record.step:,} of {soak.total_steps:,}"],
        ["published checkpoints that verify", f"{len(listed) - len(bad)} of {len(listed)}"],
        ["rows of metrics, gaps between them", f"{len(steps):,}, {len(gaps)}"],
        [
            "from a kill to the next line of progress (one every 5 s), median and longest",
            f"{statistics.median(secs):.0f} s, {max(secs):.0f} s",
        ],
    ]
    return rows, problems


def left_over(mark: str, temporary: Path) -> list[str]:
    """Processes that the soak began, ports they listen on, and what they left in their TMPDIR."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.environ().get(MARK) != mark:
                continue
            found.append(f"process {process.pid}: {' '.join(process.cmdline())[:80]}")
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.append(f"port {connection.laddr.port} of process {process.pid}")
        except psutil.Error:
            continue
    files = [path for path in sorted(temporary.iterdir()) if path.name != RAYS_OWN]
    return found + [f"file {path}" for path in files]


if __name__ == "__main__":
    main()
