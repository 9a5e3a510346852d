"""A real run, as small as runs can be: real pictures' format, GAN, worker and run folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.data.small_sets import noise, write_set
from trainer import config, storage
from trainer.callbacks.base import StepCallback
from trainer.gan.gan import GAN
from trainer.launch import door
from trainer.launch.starting import Options, Outcome
from trainer.run_folder import RunFolder

TRAIN_COUNT = 40
# Double precision: what threads round differently stays far below what a test compares.
YAML = """
precision: float64
dataset: {size_px: 32, flip: false}
model: {base_channels: 1, max_channels: 2, latent_dim: 4}
training: {steps: 12, global_batch: 4}
loss: {penalty_every_steps: 4}
checkpoint: {every_steps: 5}
samples: {every_steps: 6, count: 4}
metrics: {every_steps: 3}
"""


@dataclass
class TinyRun:
    """What is left of a start: its folder, its model, how it ended."""

    folder: RunFolder
    gan: GAN
    outcome: Outcome


def tiny_config(folder: Path, *overrides: str) -> config.Config:
    """Returns the config of a run in `folder`/run on a data set in `folder`/data."""
    places = [f"run={folder / 'run'}", f"dataset.address={folder / 'data'}"]
    return config.from_text(YAML, [*places, *overrides])


def run_folder(folder: Path) -> RunFolder:
    """Returns the run folder of such a run."""
    return RunFolder(storage.open_folder(str(folder / "run")))


def train(folder: Path, *overrides: str, callbacks: Sequence[StepCallback] = ()) -> TinyRun:
    """Trains, or goes on, in this process."""
    if not (folder / "data").exists():
        write_set(folder / "data", noise(TRAIN_COUNT, 32))
    built = []

    def extra(gan: GAN) -> list[StepCallback]:
        built.append(gan)
        return list(callbacks)

    outcome = door.train(tiny_config(folder, *overrides), Options(callbacks=extra))
    return TinyRun(run_folder(folder), built[0], outcome)
