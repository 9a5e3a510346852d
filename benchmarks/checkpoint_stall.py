"""How long training stands still for a checkpoint, and how much slower it goes meanwhile.

    python -m benchmarks.checkpoint_stall            # on disk and to a bucket server
    python -m benchmarks.checkpoint_stall --write

The real `Checkpointing` callback saves real models: `cats64-quick` between its own steps, and the
2018 networks in full width (41.5 million parameters, 0.6 GB with optimizers and averages)
between matrix products that stand for steps, since two cores need 20 s for one.

*Copy* is what cannot be avoided: the weights into host memory. *Stall* is all else that
training waits for; to reach: 50 ms. *Behind* is how long hashing, writing and publishing take
behind the training, and *slower* how much longer a step takes meanwhile, on as many cores as
the table's head says. The bucket server is a process on the same cores.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.processes import ROOT
from benchmarks.stream_cold import serving
from trainer import checkpoint, storage
from trainer import config as configs
from trainer.config import Config
from trainer.quiet import import_tensorflow
from trainer.run_folder import NewRun, RunFolder

MOST_MS = 50
# Pieces of work timed while nothing is written.
_QUIET_PIECES = 8
_HEADER = ["model", "to", "tensors, MB", "copy, ms", "stall, ms", "worst", "behind, s", "slower"]


@dataclass
class Saves:
    """What several checkpoints of one model cost, in seconds.

    Attributes:
        copy: Of the weights to host memory.
        stall: What training stood still beyond that.
        behind: From the end of the stall until the checkpoint is published.
        slower: Time of a step meanwhile, over that of a step when nothing is written.
        size_bytes: Of all tensors.
    """

    copy: list[float] = field(default_factory=list)
    stall: list[float] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)
    slower: list[float] = field(default_factory=list)
    size_bytes: int = 0


def main() -> None:
    options = parse()
    rows = []
    with timing.Watch() as watch:
        for name, config in models(options.configs).items():
            for place, opened in {"disk": on_disk, "bucket server": in_bucket}.items():
                with opened() as address:
                    rows.append(row(name, place, measured(config, address, options.saves)))
    timing.publish(
        "checkpoint_stall",
        "Checkpoints",
        ["tensorflow", "numpy", "google-cloud-storage"],
        watch,
        f"To reach: a stall of at most {MOST_MS} ms. Medians of {options.saves} saves.",
        timing.table(_HEADER, rows),
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--configs", type=Path, default=ROOT / "configs")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def models(folder: Path) -> dict[str, Config]:
    return {
        "cats64-quick": configs.load(folder / "cats64-quick.yaml"),
        "seed2018, full width": configs.load(folder / "seed2018.yaml"),
    }


@contextlib.contextmanager
def on_disk() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/run"


@contextlib.contextmanager
def in_bucket() -> Iterator[str]:
    """A bucket server in a process of its own, which the environment points to."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as endpoint:
        os.environ["STORAGE_EMULATOR_HOST"] = endpoint
        try:
            yield "gs://test-bucket/run"
        finally:
            del os.environ["STORAGE_EMULATOR_HOST"]


def measured(config: Config, address: str, saves: int) -> Saves:
    """Saves a model several times, once more than is counted."""
    import_tensorflow()
    from trainer.callbacks.cadence import Cadence, Due
    from trainer.callbacks.checkpointing import Checkpointing
    from trainer.gan.build import build_gan

    gan = build_gan(config)
    work = steps_of(gan) if config.model.architecture == "dcgan" else matrix_products()
    folder = RunFolder(storage.open_folder(address))
    begun = checkpoint.begin(folder, NewRun("benchmark", "none", "none", "none"), host="here")
    found = Saves(size_bytes=sum(array.nbytes for array in gan.state().values()))
    with checkpoint.CheckpointStore(folder, begun.start, keep_last=1) as store:
        due = Due(Cadence(1), 10**9, 0.0)
        saving = Checkpointing(store, due, lambda step: {"images_seen": step}, time.monotonic)
        saving.set_model(gan)
        for step in range(1, saves + 2):
            saving.after_call(step, {})
            one_save(found, saving, store, step, work)
        for series in (found.copy, found.stall, found.behind, found.slower):
            del series[0]
    return found


def one_save(found: Saves, saving, store, step: int, work: Callable[[], None]) -> None:
    """Works until the checkpoint is published, then a little more."""
    found.copy.append(saving.stalls.copy_secs)
    found.stall.append(saving.stalls.stall_secs)
    began, meanwhile = time.perf_counter(), [timed(work)]
    while store.last_published != step:
        meanwhile.append(timed(work))
        if store.errors:
            raise store.errors[0]
    found.behind.append(time.perf_counter() - began)
    store.wait()
    quiet = [timed(work) for _ in range(_QUIET_PIECES)]
    found.slower.append(statistics.fmean(meanwhile) / statistics.median(quiet))


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def steps_of(gan) -> Callable[[], None]:
    """A plain training step on one batch."""
    import tensorflow as tf

    training, size = gan.config.training, gan.config.dataset.size_px
    shape = (training.global_batch, size, size, 3)
    batch = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    runner = gan.runner()
    return lambda: float(runner.run(iter([batch]), 1, 1)["d_loss"])


def matrix_products() -> Callable[[], None]:
    """About 10 GFLOP in TensorFlow's threads."""
    import tensorflow as tf

    square = tf.constant(np.random.default_rng(0).random((1024, 1024), np.float32))

    @tf.function
    def products():
        result = square
        for _ in range(5):
            result = tf.matmul(result, square) / 1024
        return result[0, 0]

    return lambda: float(products())


def row(name: str, place: str, found: Saves) -> list[str]:
    stall, worst = 1e3 * statistics.median(found.stall), 1e3 * max(found.stall)
    verdict = "" if stall <= MOST_MS else " **missed**"
    return [
        name,
        place,
        f"{found.size_bytes / 1e6:,.0f}",
        f"{1e3 * statistics.median(found.copy):.1f}",
        f"{stall:.1f}{verdict}",
        f"{worst:.1f}",
        f"{statistics.median(found.behind):.2f}",
        f"{statistics.median(found.slower):.2f}",
    ]


if __name__ == "__main__":
    main()
