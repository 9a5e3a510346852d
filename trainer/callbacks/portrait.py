"""What a page about a run shows besides its grids: D's answers, and walks between latents.

Owns these two and where they lie, so that a page can be made without the networks. How a page
turns logits into answers is `trainer.report`'s.
"""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.config import Config
from trainer.gan import sampling
from trainer.run_folder import names
from trainer.storage import Folder

if TYPE_CHECKING:
    import keras

WALKS, FRAMES = 6, 16
"""Walks of the averaged generator, each from one seed to another, in so many pictures."""


def logits(discriminator: "keras.Model", pictures: np.ndarray, scale: float) -> list[float]:
    """D's logit of each picture, on its moving statistics.

    Args:
        discriminator: Pictures `[n, H, W, 3]` in [-scale, scale] to logits.
        pictures: uint8 `[n, H, W, 3]`.
        scale: Largest value of a picture.
    """
    values = (pictures.astype(np.float32) / 127.5 - 1.0) * scale
    told: list[float] = []
    for begin in range(0, len(values), sampling.DRAW_BATCH):
        batch = values[begin : begin + sampling.DRAW_BATCH]
        told += np.asarray(discriminator(batch, training=False), np.float64).ravel().tolist()
    return told


def walks(ema_generator: "keras.Model", config: Config) -> np.ndarray:
    """Walks between the latents of neighbouring seeds, uint8 `[WALKS * FRAMES, H, W, 3]`."""
    model = config.model
    ends = sampling.latents_from_seeds(
        range(WALKS + 1), model.latent_dim, model.latent_distribution
    )
    fractions = np.linspace(0.0, 1.0, FRAMES)
    latents = np.concatenate([
        sampling.interpolate(ends[seed], ends[seed + 1], fractions, model.latent_distribution)
        for seed in range(WALKS)
    ])  # fmt: skip

    def generate(latents: np.ndarray) -> np.ndarray:
        return np.asarray(ema_generator(latents, training=False), np.float32)

    return sampling.draw_pictures(generate, latents, scale=model.picture_scale)


def write(folder: Folder, told: dict[str, Any], walked: np.ndarray) -> None:
    """Writes both into the run folder, over those of an earlier step."""
    folder.write(names.WALKS, sampling.png_bytes(sampling.grid(walked, columns=FRAMES)))
    folder.write(names.ANSWERS, (json.dumps(told) + "\n").encode())
