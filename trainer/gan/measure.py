"""Whether XLA makes a config's step faster on this machine.

Owns the measurement only; that it is made once for a run and stored is the
launcher's business.
"""

import logging
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.gan.build import build_gan

log = logging.getLogger("catgan")

_STEPS = 20
_WARM_UP_STEPS = 3


def jit_is_faster(config: Config) -> bool:
    """Times steps with and without XLA on throw-away weights; says so in the log."""
    with_jit, without = (step_secs(config, jit=jit) for jit in (True, False))
    faster = with_jit < 0.97 * without
    log.info(
        "a step takes %.1f ms with XLA and %.1f ms without: jit=%s",
        1e3 * with_jit,
        1e3 * without,
        str(faster).lower(),
    )
    return faster


def step_secs(config: Config, *, jit: bool) -> float:
    """Returns the median time of a step in seconds, one without penalties if there are such."""
    gan = build_gan(config, jit=jit)
    runner = gan.runner()
    size, batch = config.dataset.size_px, config.training.global_batch
    grey = tf.data.Dataset.from_tensors(np.full((batch, size, size, 3), 128, np.uint8)).repeat()
    iterator = iter(grey)
    times = []
    for _ in range(_WARM_UP_STEPS + _STEPS):
        began = time.perf_counter()
        logs = runner.run(iterator, 1, 1)
        float(logs["g_loss"])  # waits for the device
        times.append(time.perf_counter() - began)
    keras.backend.clear_session(free_memory=True)
    return statistics.median(times[_WARM_UP_STEPS:])
