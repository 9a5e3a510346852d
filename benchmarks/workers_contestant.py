"""One worker of `workers.py`, on one core, asleep while it is not its turn.

    python -m benchmarks.workers_contestant CONFIG PICTURES RANK WORLD EXCHANGE CORE

EXCHANGE is a key of `BYTES_PER_PACK`, or `none`: this rank's rows of a step among WORLD
workers, and no other worker is asked for anything. PICTURES is an array of batches, uint8
`[batches, n, H, W, 3]`; with an exchange TF_CONFIG says where the others are.
"""

import collections
import glob
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.processes import serve
from trainer import config as configs
from trainer.config import Config
from trainer.data.order import rows_of

# How gradients go over the wire: all in one message, one message for each, or a few.
BYTES_PER_PACK = {"flat": 0, "listed": 1, "packs": 256 * 1024}


class Worker:
    """The step as shipped, on this rank's rows."""

    def __init__(
        self, config: Config, batches: np.ndarray, rank: int, world_size: int, exchange: str
    ) -> None:
        from trainer.quiet import import_tensorflow

        self._tf = tf = import_tensorflow()
        from trainer.distribution import Distribution
        from trainer.gan.build import build_gan
        from trainer.gan.runner import StepRunner

        strategy = None if exchange == "none" else tf.distribute.MultiWorkerMirroredStrategy()
        distribution = Distribution(strategy, bytes_per_pack=BYTES_PER_PACK.get(exchange, 0))
        batch = config.training.global_batch
        rows = rows_of(rank, world_size, config.dataset.lanes or world_size, batch)
        self._gan = build_gan(config, distribution, rows=rows)
        self._runner = StepRunner(
            distribution,
            self._with_waits,
            self._gan.agreement,
            penalty_every_steps=config.loss.penalty_every_steps,
            jit=False,
            eager=False,
        )
        self._batches = itertools.cycle([tf.constant(pictures[rows]) for pictures in batches])
        self._finished = 0

    def _with_waits(self, data, with_penalty: bool):
        """The step; how long the collectives took stays among its figures, which it leaves."""
        logs = self._gan.train_step(data, with_penalty)
        waits = {n: v for n, v in logs.items() if n.startswith("waited_secs/")}
        return logs | {name.replace("waited_secs/", "wait "): v for name, v in waits.items()}

    def steps(self, count: int, with_penalty: bool) -> dict:
        """Runs steps; returns the seconds of each, and of the waits of each."""
        secs: list[float] = []
        waits: dict[str, list[float]] = collections.defaultdict(list)
        for _ in range(count):
            began = time.perf_counter()
            # Going on to the next step that has a penalty, or that has none.
            self._finished += 1
            while self._runner.penalty_due(self._finished) != with_penalty:
                self._finished += 1
            figures = self._runner.run(self._batches, self._finished, 1)
            secs.append(time.perf_counter() - began)
            for name, value in figures.items():
                if name.startswith("wait "):
                    waits[name.removeprefix("wait ")].append(float(value))
        return {"secs": secs, "waits": waits}

    def profile(self, count: int) -> dict[str, float]:
        """Seconds of a plain step by kind of operation, from a trace of `count` steps."""
        with tempfile.TemporaryDirectory() as folder:
            with self._tf.profiler.experimental.Profile(folder):
                self.steps(count, False)
            (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
            total = _by_operation(Path(path).read_bytes())
        return {name: secs / count for name, secs in total.items()}

    def sent(self) -> int:
        """Bytes of all gradients."""
        networks = self._gan.generator, self._gan.discriminator
        return sum(v.numpy().nbytes for net in networks for v in net.trainable_variables)


def _by_operation(trace: bytes) -> dict[str, float]:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    total: dict[str, float] = collections.defaultdict(float)
    for plane in xplane_pb2.XSpace.FromString(trace).planes:
        if plane.name != "/host:CPU":
            continue
        for event in (event for line in plane.lines for event in line.events):
            # Operations are named `path/of/the/operation:Kind`, the runtime's own `Class::Name`.
            name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if name and not name.endswith(":") and kind.isidentifier():
                total[kind] += event.duration_ps * 1e-12
    return total


def main() -> None:
    config_path, pictures_path, rank, world_size, exchange, core = sys.argv[1:]
    # Before TensorFlow counts the cores for its threads.
    os.sched_setaffinity(0, {int(core)})
    config, batches = configs.load(config_path), np.load(Path(pictures_path))
    worker = Worker(config, batches, int(rank), int(world_size), exchange)
    serve(lambda ask, **arguments: getattr(worker, ask)(**arguments))


if __name__ == "__main__":
    main()
