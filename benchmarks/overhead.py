"""What everything around the step costs: a real run against bare steps.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --blocks 20 --write

The real thing (`trainer.launch.door.train` on `configs/cats64-quick.yaml` with drawn cats: stream
from memory, `fit`, bar or log, metrics rows, checkpoints and grids every 500 steps, TensorBoard,
run.json) stops after every 100 steps, and the same model's steps of the same numbers (so with
as many penalties) run bare in the same process: `StepRunner` on one batch, no callbacks. A
block begins at steps such as 60, 160, 260, where nothing is due, so that what a checkpoint or a
grid costs behind the training falls into the block that began it.

The figure is the sum over all blocks: a median would hide what is rare. To reach: 1.03.
Starting (import, compiling, the first grids) is not counted.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.processes import ROOT
from trainer import config as configs
from trainer.config import Config
from trainer.quiet import import_tensorflow

MOST = 1.03
BLOCK = 100
# The first block begins here: everything is compiled, and the next power of two (a grid) far.
FIRST = 60


@dataclass
class Block:
    """Seconds of `BLOCK` steps.

    Attributes:
        first: Number of the first step.
        whole: From the end of the step before to the end of the last.
        inside: Of these, in the train function: stream and step.
        cpu: Of all threads of the process.
    """

    first: int
    whole: float
    inside: float = 0.0
    cpu: float = 0.0


@dataclass
class Blocks:
    """All blocks, in their order: `bare[i]`, `run[i]`, `bare[i + 1]`."""

    run: list[Block] = field(default_factory=list)
    bare: list[Block] = field(default_factory=list)

    def bare_secs(self, index: int) -> float:
        """What `run[index]` is compared with: the mean of the bare blocks beside it."""
        return (self.bare[index].whole + self.bare[index + 1].whole) / 2


def main() -> None:
    options = parse()
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as temporary:
        config = configs.load(
            options.configs / "cats64-quick.yaml",
            [
                f"run={temporary}/run",
                f"dataset.address={temporary}/data",
                "dataset.source=drawn:1500",
                f"training.steps={FIRST + BLOCK * options.blocks + 1}",
            ],
        )
        blocks, waited = measured(config)
    timing.publish(
        "overhead",
        "Everything around the step",
        ["tensorflow", "keras", "numpy"],
        watch,
        report(config, blocks, waited),
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=10, help=f"of {BLOCK} steps; 5: a checkpoint")
    parser.add_argument("--configs", type=Path, default=ROOT / "configs")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def measured(config: Config) -> tuple[Blocks, float]:
    """Trains; returns the blocks and the share of time spent waiting for data."""
    import_tensorflow()
    from trainer import storage
    from trainer.launch import door
    from trainer.launch.starting import Options
    from trainer.run_folder import RunFolder, read_metrics

    blocks = Blocks()
    door.train(config, Options(callbacks=lambda gan: [_alternating(gan, blocks)]))
    rows = read_metrics(RunFolder(storage.open_folder(config.run)))
    return blocks, statistics.fmean(row["data_wait_share"] for row in rows[1:])


def _alternating(gan, blocks: Blocks):
    """A callback that runs bare blocks between those of the run."""
    from trainer.callbacks.base import StepCallback

    class Alternating(StepCallback):
        def begin(self, step: int) -> None:
            self._bare = _BareSteps(gan.config)
            self._block: Block | None = None

        def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self._entered = time.perf_counter()

        def after_call(self, step: int, logs: dict[str, Any]) -> None:
            if self._block:
                self._block.inside += time.perf_counter() - self._entered
            if step < FIRST or (step - FIRST) % BLOCK:
                return
            if self._block:
                self._block.whole += time.perf_counter()
                self._block.cpu += time.process_time()
                blocks.run.append(self._block)
            blocks.bare.append(self._bare.block(step))
            self._block = Block(step, -time.perf_counter(), cpu=-time.process_time())

    return Alternating()


class _BareSteps:
    """The same model's step on one batch, without anything around it."""

    def __init__(self, config: Config) -> None:
        import tensorflow as tf

        from trainer.gan.build import build_gan

        size = config.dataset.size_px
        shape = (config.training.global_batch, size, size, 3)
        self._batch = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
        self._runner = build_gan(config).runner()
        self._run(0, 3)  # compiles both kinds of step

    def block(self, first: int) -> Block:
        """Runs the steps that follow `first` finished ones."""
        began, cpu = time.perf_counter(), time.process_time()
        self._run(first, BLOCK)
        whole = time.perf_counter() - began
        return Block(first, whole, whole, time.process_time() - cpu)

    def _run(self, first: int, count: int) -> None:
        for step in range(first, first + count):
            logs = self._runner.run(iter([self._batch]), step, 1)
        float(logs["d_loss"])


def report(config: Config, blocks: Blocks, waited: float) -> str:
    """The figure, where the excess lies, and every block."""
    pairs = [(block, blocks.bare_secs(i)) for i, block in enumerate(blocks.run)]
    bare = sum(secs for _, secs in pairs)
    whole = sum(block.whole for block, _ in pairs)
    inside = sum(block.inside for block, _ in pairs)
    steps, per_step = BLOCK * len(pairs), 1e3 / BLOCK
    ratio = whole / bare
    verdict = "reached" if ratio <= MOST else "**missed**"
    cpu = [
        sum(b.cpu for b in some) / sum(b.whole for b in some) for some in (blocks.run, blocks.bare)
    ]
    lines = [
        f"Run over bare steps: **{ratio:.3f}** (≤ {MOST}: {verdict}); median of the blocks "
        f"{statistics.median(block.whole / secs for block, secs in pairs):.3f}.",
        f"A bare step takes {1e3 * bare / steps:.1f} ms. In the run, stream and step take "
        f"{1e3 * (inside - bare) / steps:+.2f} ms more, of which waiting for data is "
        f"{1e3 * waited * whole / steps:.2f} ms; callbacks and Keras' loop "
        f"{1e3 * (whole - inside) / steps:.2f} ms. Cores busy: {cpu[0]:.2f} in the run, "
        f"{cpu[1]:.2f} bare.",
    ]
    rows = [
        [
            f"{block.first + 1} to {block.first + BLOCK}",
            ", ".join(due_in(config, block)),
            f"{per_step * block.whole:.1f}",
            f"{per_step * secs:.1f}",
            f"{block.whole / secs:.3f}",
            f"{per_step * (block.whole - block.inside):.2f}",
        ]
        for block, secs in pairs
    ]
    header = ["steps", "due", "run, ms a step", "bare, ms a step", "ratio", "callbacks, ms a step"]
    return "\n\n".join([*lines, timing.table(header, rows)])


def due_in(config: Config, block: Block) -> list[str]:
    """What a block has besides rows of figures."""
    from trainer.callbacks.cadence import Schedule

    schedule = Schedule.of(config, train_count=1)
    steps = range(block.first, block.first + BLOCK)
    named = {"checkpoint": schedule.checkpoint, "grid": schedule.samples}
    return [name for name, cadence in named.items() if any(map(cadence.due, steps))]


if __name__ == "__main__":
    main()
