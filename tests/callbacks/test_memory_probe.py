"""The largest part that fits is found by running steps of the real model."""

import pytest
import tensorflow as tf

from trainer import config as configs
from trainer.callbacks import memory_probe
from trainer.gan.inputs import Inputs

SMALL = ["dataset.size_px=32", "model.base_channels=1", "training.global_batch=8"]


@pytest.fixture
def memory_for(monkeypatch):
    """Lets a network see at most so many pictures at once, as a small device would."""

    def limit(most):
        original = Inputs.real_images

        def real_images(self, images, step):
            at_once = self._config.training.micro_batch or images.shape[0]
            if at_once > most:
                raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
            return original(self, images, step)

        monkeypatch.setattr(Inputs, "real_images", real_images)

    return limit


def test_names_the_micro_batch_that_fits(memory_for):
    memory_for(3)
    error = memory_probe.explain(configs.from_text("", SMALL), 8)
    assert "training.micro_batch=2" in error.remedy


def test_with_batch_norm_names_a_batch_that_fits(memory_for):
    memory_for(4)
    error = memory_probe.explain(configs.from_text("", [*SMALL, "model.generator_norm=batch"]), 8)
    assert "training.global_batch=4" in error.remedy


def test_says_so_where_nothing_fits(memory_for):
    memory_for(0)
    error = memory_probe.explain(configs.from_text("", SMALL), 8)
    assert "a single one" in error.what
