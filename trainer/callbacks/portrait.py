"""What a page about a run shows besides its grids: D's answers, and walks between latents.

Owns these two and where they lie, so that a page can be made without the networks, and what D
sees in pictures. How a page turns logits into answers is `trainer.report`'s.
"""

import json
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from trainer.config import Config
from trainer.gan import sampling
from trainer.run_folder import names
from trainer.storage import Folder

WALKS, FRAMES = 6, 16
"""Walks of the averaged generator, each from one seed to another, in so many pictures."""


@dataclass(frozen=True)
class Seen:
    """What D makes of pictures, on its moving statistics.

    Attributes:
        logits: `[n]`.
        features: What its logits are products of, float32 `[n, d]`.
    """

    logits: list[float]
    features: np.ndarray


class Eye:
    """D, asked for its features besides its logits.

    Args:
        discriminator: Pictures `[n, H, W, 3]` in [-scale, scale] to logits.
        scale: Largest value of a picture.
    """

    def __init__(self, discriminator: keras.Model, scale: float) -> None:
        *_, last = discriminator.layers
        self._looks = keras.Model(discriminator.input, [last.input, discriminator.output])
        self._scale = scale

    def sees(self, pictures: np.ndarray) -> Seen:
        """Looks at pictures, uint8 `[n, H, W, 3]`."""
        values = (pictures.astype(np.float32) / 127.5 - 1.0) * self._scale
        features, logits = [np.zeros((0, 1), np.float32)], [np.zeros(0)]
        for begin in range(0, len(values), sampling.DRAW_BATCH):
            batch = values[begin : begin + sampling.DRAW_BATCH]
            seen, answers = self._looks(batch, training=False)
            features.append(np.asarray(seen, np.float32))
            logits.append(np.asarray(answers, np.float64).ravel())
        together = np.concatenate(features[1:]) if len(values) else features[0]
        return Seen(np.concatenate(logits).tolist(), together)


def walks(ema_generator: keras.Model, config: Config) -> np.ndarray:
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
