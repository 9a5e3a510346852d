"""The machine that trains: which device, how many threads, how exact.

Owns TensorFlow's global settings, which count only before its first operation.
"""

import logging
from dataclasses import dataclass

import tensorflow as tf

from trainer.config import Config

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Device:
    """What a process trains on.

    Attributes:
        kind: `GPU` or `CPU`.
        name: As its maker calls it, or the number of cores.
    """

    kind: str
    name: str


def set_up(config: Config) -> Device:
    """Chooses one GPU or the CPU and sets threads, memory growth and determinism.

    With several GPUs in sight it uses the first and says so.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    _set_threads(config.threads)
    if not gpus:
        return Device("CPU", "the CPU")
    _take(gpus[0])
    name = gpu_name()
    if len(gpus) > 1:
        log.warning(
            "%d GPUs are in sight; this process trains on the first, %s (several: cluster.workers)",
            len(gpus),
            name,
        )
    return Device("GPU", name)


def gpu_name() -> str:
    """Returns the GPU that a process here trains on, as its maker calls it; empty: none."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ""
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)


def _take(gpu: tf.config.PhysicalDevice) -> None:
    try:
        tf.config.set_visible_devices([gpu], "GPU")
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        # Only where a program drew or measured before it trains: TensorFlow holds the GPU already.
        log.debug("TensorFlow is running already, with the devices and the memory it took")


def _set_threads(threads: int) -> None:
    if not threads or threads == tf.config.threading.get_intra_op_parallelism_threads():
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        # Only where a program trains twice in one process, as tests do.
        log.debug("TensorFlow is running already; threads=%d is not applied", threads)
