"""A run folder on disk, and states whose content tells who computed them."""

import numpy as np
import pytest

from trainer import checkpoint, storage
from trainer.run_folder import NewRun, RunFolder

NEW = NewRun("cats", "/data/cats", "f00d", "c0ffee")


def state_of(step: int, seed: int = 0, size: int = 40) -> dict[str, np.ndarray]:
    """Returns a state of every dtype that depends on the step and the seed only."""
    draw = np.random.default_rng([step, seed])
    return {
        "generator/dense/kernel": draw.random((size, 3), dtype=np.float32),
        "generator/dense/bias": draw.random(3),
        "discriminator/conv/kernel": draw.random((4, size)).astype(np.float16),
        "ema/dense/kernel": draw.random((size, 3), dtype=np.float32),
        "generator_optimizer/iteration": np.array(step, np.int64),
        "discriminator_optimizer/empty": np.zeros((0, 2), np.float32),
        "adaptive/finite": np.array([True, False]),
        "adaptive/counter": draw.integers(0, 9, 3, dtype=np.uint32),
    }


def meta_of(step: int) -> dict:
    return {"images_seen": step * 64, "seed": 7, "config": "seed: 7\n"}


def assert_is_state(tensors, step: int, seed: int = 0, size: int = 40) -> None:
    expected = state_of(step, seed, size)
    assert sorted(tensors) == sorted(expected)
    for name, array in expected.items():
        assert tensors[name].dtype == array.dtype, name
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def begin(run: RunFolder, **told) -> checkpoint.Begun:
    return checkpoint.begin(run, NEW, host=told.pop("host", "here"), **told)


def save(run: RunFolder, start: int, *steps: int, seed: int = 0, **options) -> None:
    """Saves and waits, one step after the other, in parts of a few tensors."""
    with checkpoint.CheckpointStore(run, start, part_bytes=600, **options) as store:
        for step in steps:
            store.save(step, state_of(step, seed), meta_of(step))
            store.wait()


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(storage.open_folder(str(tmp_path / "run")))
