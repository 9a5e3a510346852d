"""A small model, its pictures, and how to run its step."""

import numpy as np
import pytest

from tests.gan.small import SMALL
from trainer import config as configs


@pytest.fixture
def small():
    """Builds a config from `SMALL` and more overrides."""
    return lambda *overrides: configs.from_text("", [*SMALL, *overrides])


@pytest.fixture
def pictures():
    """uint8 `[steps, batch, 32, 32, 3]`."""
    return np.random.default_rng(3).integers(0, 256, (8, 6, 32, 32, 3), np.uint8)


@pytest.fixture
def train():
    """Runs steps of a model on pictures, one call each, and returns the last figures."""
    import tensorflow as tf

    def run(gan, pictures, first=0):
        runner = gan.runner()
        iterator = iter(tf.data.Dataset.from_tensor_slices(pictures))
        for step in range(first, first + len(pictures)):
            figures = runner.run(iterator, step, 1)
        gan.step = first + len(pictures)
        return {name: float(value) for name, value in figures.items()}

    return run
