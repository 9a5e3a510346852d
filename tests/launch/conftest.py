"""Small real runs for the tests of launching: a data set, a config, a reference."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.launch.processes import ForkServer, Process
from trainer import checkpoint, storage
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.run_folder import RunFolder

STEPS = 24
EVERY = 4
PICTURES = 40

# A penalty in every step, so that one kind of step is compiled and not two: half the seconds.
CONFIG = f"""
deterministic: true
dataset: {{size_px: 32, val_fraction: 0, address: ADDRESS}}
model: {{base_channels: 2, max_channels: 4, latent_dim: 8}}
training: {{steps: {STEPS}, global_batch: 8}}
loss: {{penalty_every_steps: 1}}
checkpoint: {{every_steps: {EVERY}}}
samples: {{every_steps: 16, count: 4}}
metrics: {{every_steps: 1}}
log: {{tensorboard: false}}
"""


@dataclass(frozen=True)
class Small:
    """What the tests of launching share.

    Attributes:
        server: Starts processes.
        config: A config file of a run of a few seconds.
        dataset: Its data set.
    """

    server: ForkServer
    config: Path
    dataset: Path

    def train(self, run: object, *overrides: str, env: dict[str, str] | None = None) -> Process:
        """Starts `catgan train` on the config, with this run folder."""
        return self.server.catgan("train", str(self.config), f"run={run}", *overrides, env=env)

    def resume(self, run: object, *words: str, env: dict[str, str] | None = None) -> Process:
        """Starts `catgan resume`."""
        return self.server.catgan("resume", str(run), *words, env=env)

    def call(self, function: str, *args: object) -> Process:
        """Starts a function of `programs.py`."""
        return self.server.call(f"tests.launch.programs:{function}", [str(a) for a in args])


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    folder = tmp_path_factory.mktemp("launch")
    dataset = folder / "pictures"
    prepare(f"drawn:{PICTURES}", str(dataset), PrepareOptions(size_px=32, val_fraction=0.0))
    config = folder / "small.yaml"
    config.write_text(CONFIG.replace("ADDRESS", str(dataset)))
    with ForkServer(folder) as server:
        yield Small(server, config, dataset)


@pytest.fixture(scope="session")
def unbroken(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the config, trained without a stop."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    small.train(run).succeed()
    return run


def open_run(address: object) -> RunFolder:
    return RunFolder(storage.open_folder(str(address)))


def steps_of(address: object) -> list[int]:
    """Steps of the checkpoints that can be used, oldest first."""
    return [item.step for item in checkpoint.list_all(open_run(address)) if item.counts]


def state_at(address: object, step: int | None = None) -> dict[str, np.ndarray]:
    run = open_run(address)
    found = checkpoint.find_newest(run) if step is None else checkpoint.open_step(run, step)
    assert found is not None
    return found.load()


def assert_same_bits(one: object, other: object, step: int = STEPS) -> None:
    """Every tensor of both runs' checkpoints of `step` is the same, bit for bit."""
    left, right = state_at(one, step), state_at(other, step)
    assert left.keys() == right.keys()
    differ = [name for name in left if left[name].tobytes() != right[name].tobytes()]
    assert not differ, f"{len(differ)} of {len(left)} tensors differ, first {differ[0]}"
