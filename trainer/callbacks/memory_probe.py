"""Finds the largest part of a batch that a device has memory for.

Owns the trial steps. How "out of memory" is recognised, and what the person is
told, is in `trainer.callbacks.memory`.
"""

import keras
import numpy as np
import tensorflow as tf

from trainer.callbacks.memory import is_out_of_memory, out_of_memory_error
from trainer.config import Config
from trainer.errors import TrainingError
from trainer.gan.build import build_gan


def explain(config: Config, rows: int) -> TrainingError:
    """Tries ever smaller parts of `rows` pictures and says which fits.

    Args:
        config: Of the run whose step did not fit.
        rows: Pictures of a step on this device.
    """
    has_batch_norm = config.model.has_batch_norm

    def fits(part: int) -> bool:
        if has_batch_norm:
            return _step_fits(config, part)
        training = config.training.model_copy(update={"micro_batch": part})
        return _step_fits(config.model_copy(update={"training": training}), rows)

    tried = config.training.micro_batch or rows
    return out_of_memory_error(tried, fits, has_batch_norm=has_batch_norm)


def _step_fits(config: Config, rows: int) -> bool:
    """Runs one step with penalties on black pictures; says whether memory sufficed."""
    keras.backend.clear_session(free_memory=True)
    size = config.dataset.size_px
    images = tf.zeros([rows, size, size, 3], tf.uint8)
    try:
        gan = build_gan(config, rows=np.arange(rows))
        gan.train_step((images, tf.constant(0, tf.int64)), with_penalty=True)
        return True
    except Exception as error:
        if is_out_of_memory(error):
            return False
        raise
