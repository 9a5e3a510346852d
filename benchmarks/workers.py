"""Two workers of one core each against one worker of one core, the same global batch.

    python -m benchmarks.workers                          # the table
    python -m benchmarks.workers --rounds 15 --write

All run `cats64-quick` as shipped but for a global batch of 128, each process pinned to one core,
the two workers joined by TF_CONFIG and nothing else: MultiWorkerMirroredStrategy, gRPC ring,
no Ray. Contestants take turns, asleep while it is not theirs:
- *one*: one worker with all rows;
- *two, flat / packs / listed*: two workers; a network's gradients in one message, in
  messages of about 256 KiB, each as soon as it is there, or one for each weight;
- *two, no exchange*: the same two halves of the rows at the same time, nobody asks anybody;
- *half alone*: one of these halves while the other core is idle.
From the last two follows where the time goes that two workers do not save. Little can be
computed while gradients are on the wire: in the alternating update G's half needs the updated
D, and nothing of a step is left after G's gradients but its update and the average. Messages
in packs begin while the same network's first layers are still being differentiated.

With penalties every 16 steps, plain and penalty steps are timed apart and the mean step is
(15 plain + penalty) / 16.
"""

import argparse
import contextlib
import json
import socket
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.processes import ROOT, Contestant
from benchmarks.step import drawn_batches, summary
from trainer import config as configs

ONE, HALF, APART = "one", "half alone", "two, no exchange"
FLAT, PACKS, LISTED = "two, flat", "two, packs", "two, listed"
# How a gradient goes in the shipped program (`Distribution`'s default).
SHIPPED = FLAT
LEAST = 1.6
# Steps of a turn: without and with a penalty.
STEPS = 6, 2


@dataclass
class Group:
    """Processes that take a turn together.

    Attributes:
        waits: Seconds of each plain step by (rank, network), in which the rank waited.
    """

    members: list[Contestant]
    waits: dict[tuple[int, str], list[float]] = field(default_factory=dict)

    def ask(self, **arguments) -> list:
        """Asks all members at once; returns their answers by rank."""
        with ThreadPoolExecutor(len(self.members)) as pool:
            return list(pool.map(lambda member: member.call(**arguments), self.members))

    def turn(self, count: int, with_penalty: bool) -> list[float]:
        """Runs steps; returns the seconds of each on the slower member."""
        answers = self.ask(ask="steps", count=count, with_penalty=with_penalty)
        for rank, answer in enumerate(answers):
            for network, secs in answer["waits"].items():
                if not with_penalty:
                    self.waits.setdefault((rank, network), []).extend(secs)
        return max((answer["secs"] for answer in answers), key=sum)


def main() -> None:
    options = parse()
    config = configs.load(options.configs / "cats64-quick.yaml", ["training.global_batch=128"])
    with timing.Watch() as watch, contest(config, options) as groups:
        result = Result(config, groups, options.rounds)
        body = result.tables()
    head = f"{summary(config)}; each worker on one core"
    timing.publish(
        "workers",
        "Two workers against one",
        ["tensorflow", "keras", "numpy"],
        watch,
        head,
        body,
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", default="0,1", help="numbers of two cores")
    parser.add_argument("--configs", type=Path, default=ROOT / "configs")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


@contextlib.contextmanager
def contest(config, options: argparse.Namespace) -> Iterator[dict[str, Group]]:
    """Starts all contestants and ends them."""
    cores = [int(core) for core in options.cores.split(",")]
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        files = Path(temporary) / "config.yaml", Path(temporary) / "pictures.npy"
        files[0].write_text(configs.to_yaml(config), encoding="utf-8")
        np.save(files[1], drawn_batches(config))

        def worker(rank: int, world_size: int, exchange: str, tf_config: str = "") -> Contestant:
            arguments = [*map(str, files), str(rank), str(world_size), exchange, str(cores[rank])]
            environment = {"TF_CONFIG": tf_config} if tf_config else {}
            module = "benchmarks.workers_contestant"
            return stack.enter_context(Contestant([module, *arguments], environment=environment))

        def joined(exchange: str) -> Group:
            return Group([worker(r, 2, exchange, t) for r, t in enumerate(tf_configs(2))])

        yield {
            ONE: Group([worker(0, 1, "none")]),
            FLAT: joined("flat"),
            PACKS: joined("packs"),
            LISTED: joined("listed"),
            APART: Group([worker(rank, 2, "none") for rank in range(2)]),
            HALF: Group([worker(0, 2, "none")]),
        }


def tf_configs(world_size: int) -> list[str]:
    """TF_CONFIG of each rank, on free ports of this machine."""
    sockets = [socket.socket() for _ in range(world_size)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    workers = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    tasks = [{"type": "worker", "index": rank} for rank in range(world_size)]
    return [json.dumps({"cluster": {"worker": workers}, "task": task}) for task in tasks]


class Result:
    """Runs the contest and lays its figures out."""

    def __init__(self, config, groups: dict[str, Group], rounds: int) -> None:
        self._batch = config.training.global_batch
        self._every = config.loss.penalty_every_steps
        self._groups = groups
        turns = {}
        for label, group in groups.items():
            for due in (False, True):
                turns[label, due] = lambda group=group, due=due: group.turn(STEPS[due], due)
        self._times = timing.interleaved(turns, rounds)
        self._mean = {
            label: timing.mixed(self._times[label, False], self._times[label, True], self._every)
            for label in groups
        }
        (self._sent, *_) = groups[ONE].ask(ask="sent")
        self._profiles = {
            label: groups[label].ask(ask="profile", count=8)[0] for label in (HALF, SHIPPED)
        }

    def tables(self) -> str:
        """All of them."""
        return "\n\n".join([self._speeds(), self._rest(), self._waits(), self._operations()])

    def _speeds(self) -> str:
        header = ["", "plain step, ms", "penalty step, ms", "mean step, ms", "least, ms"]
        header += ["pictures/s", "times one", "to reach"]
        rows = []
        for label, mean in self._mean.items():
            share = 0.5 if label == HALF else 1.0
            speed = timing.ratio(self._mean[ONE], mean).paired * share
            verdict = ""
            if label == SHIPPED:
                verdict = f"≥ {LEAST}: {'reached' if speed >= LEAST else '**missed**'}"
            kinds = [self._times[label, due].median for due in (False, True)]
            rows.append(
                [
                    label + (" (as shipped)" if label == SHIPPED else ""),
                    *(f"{1e3 * secs:.1f}" for secs in (*kinds, mean.median, mean.least)),
                    f"{share * self._batch / mean.median:.0f}",
                    f"**{speed:.2f}**",
                    verdict,
                ]
            )
        return timing.table(header, rows)

    def _rest(self) -> str:
        """Where the difference between half of one worker's step and two workers' goes."""
        one, half, apart, shipped = (self._mean[x].median for x in (ONE, HALF, APART, SHIPPED))
        rows = [
            ["half of one worker's step", one / 2],
            ["what is not halved: updates, average, draws, small operations", half - one / 2],
            ["the other core's work beside it (caches, memory)", apart - half],
            ["the exchange: all-reduce, and waiting for the slower", shipped - apart],
            ["two workers' step", shipped],
        ]
        table = timing.table(
            ["mean step", "ms", "share"],
            [[name, f"{1e3 * secs:.1f}", f"{100 * secs / shipped:.0f} %"] for name, secs in rows],
        )
        return f"{self._sent / 1e6:.2f} MB of gradients a step and worker.\n\n{table}"

    def _waits(self) -> str:
        """From "my gradients are there" to "the sum is there", by the clock in the graph."""
        rows = []
        for label in (FLAT, PACKS, LISTED):
            plain = self._times[label, False].median
            for (rank, network), secs in sorted(self._groups[label].waits.items()):
                wait = statistics.median(secs)
                share = f"{100 * wait / plain:.1f} %"
                rows.append([label, rank, network, f"{1e3 * wait:.1f}", share])
        header = ["plain step", "rank", "gradients of", "own gradients to sum, ms", "of the step"]
        return timing.table(header, rows)

    def _operations(self) -> str:
        """The dearest operations of a trace, with and without the exchange."""
        half, shipped = self._profiles[HALF], self._profiles[SHIPPED]
        kinds = sorted(shipped, key=lambda kind: -shipped[kind])[:14]
        rows = [[k, f"{1e3 * half.get(k, 0):.1f}", f"{1e3 * shipped[k]:.1f}"] for k in kinds]
        return timing.table(
            ["operations of a plain step (profiler, rank 0), ms", HALF, SHIPPED], rows
        )


if __name__ == "__main__":
    main()
