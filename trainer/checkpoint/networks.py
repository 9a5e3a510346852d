"""Networks out of a checkpoint: the config they are of, and their weights.

Owns what is said where a checkpoint does not fit. Builds nothing: the networks
are handed in.
"""

from typing import TYPE_CHECKING

import numpy as np

from trainer import config as configs
from trainer.checkpoint.content import Checkpoint
from trainer.config import Config
from trainer.errors import CheckpointError

if TYPE_CHECKING:
    import keras


def config_of(found: Checkpoint) -> Config:
    """Returns the config that a checkpoint carries; raises CheckpointError where it has none."""
    text = found.meta.get("config")
    if not isinstance(text, str) or not text.strip():
        raise CheckpointError(
            f"{found.address} does not say what networks it is of",
            expected="the run's config among what a checkpoint holds",
            remedy="use another checkpoint, or the run's generator.keras",
        )
    return configs.from_text(text, where=f"the config in {found.address}")


def fill(
    network: "keras.Model", prefix: str, arrays: dict[str, np.ndarray], found: Checkpoint
) -> None:
    """Assigns a network's weights and moving statistics.

    Args:
        network: Built from the checkpoint's own config.
        prefix: `generator`, `discriminator` or `ema`.
        arrays: What `found.load` gave.
        found: Where they are from.

    Raises:
        CheckpointError: A tensor is missing or of another shape.
    """
    from trainer.gan.state import network_variables

    for name, variable in network_variables(network, prefix):
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            raise CheckpointError(
                f"{found.address} does not fit the networks of its own config: {name}",
                expected="a checkpoint that this version, or an older one, wrote",
                remedy="use the version that wrote it, or the run's generator.keras",
            )
        variable.assign(arrays[name].astype(variable.dtype))
