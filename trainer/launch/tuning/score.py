"""What a trial is judged by: a kernel distance of its averaged generator's pictures.

Owns which pictures are compared, and in which features. The distance itself is
`trainer.scores`.

The features are what lies in the picture at three scales, as plain averages of pixels: no
trained network is needed, and none is pretended. It tells a recipe that fails from
one that learns, by colours and large shapes; blur it does not see. It is no published KID.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import scores
from trainer.config import Config
from trainer.errors import DataError

FEATURES = "pixels at 4, 8 and 16 px"
MAX_PICTURES = 1024
# Ten blocks for the error, of two pictures at least.
MIN_PICTURES = 20


@dataclass(frozen=True)
class Score:
    """One figure and its standard error, lower is better.

    Attributes:
        value: Squared kernel distance, unbiased: may be below zero.
        error: Its standard error over pictures, not over runs.
        count: Pictures on either side.
        features: What it was measured with.
        fingerprint: Of the data set.
    """

    value: float
    error: float
    count: int
    features: str
    fingerprint: str


def score(checkpoint: str, config: Config) -> Score:
    """Compares pictures of a checkpoint with held-out ones, at equal counts.

    Args:
        checkpoint: Its address.
        config: Of the run.

    Raises:
        DataError: Fewer than 20 pictures are held out.
        CheckpointError: The checkpoint is missing or damaged.
    """
    from trainer.gan import sampling
    from trainer.generate import open_generator
    from trainer.launch.starting import open_dataset

    dataset = open_dataset(config)
    count = judged_count(dataset.manifest, dataset.address)
    generator = open_generator(checkpoint)
    latents = sampling.latents_from_seeds(
        range(count), generator.latent_dim, generator.distribution
    )
    real = dataset.pictures("validation", np.arange(count))
    value, error = scores.kernel_distance_with_error(
        features_of(real), features_of(generator.pictures(latents))
    )
    return Score(value, error, count, FEATURES, dataset.fingerprint)


def judged_count(manifest: Any, address: str) -> int:
    """Returns how many pictures a score compares; raises DataError where they are too few."""
    count = min(manifest.counts.validation, MAX_PICTURES)
    if count < MIN_PICTURES:
        raise DataError(
            f"{address} holds out {count} pictures",
            expected=f"{MIN_PICTURES} or more, to judge trials by",
            remedy="prepare it again with a greater --val-fraction",
        )
    return count


def features_of(pictures: np.ndarray) -> np.ndarray:
    """uint8 `[n, H, H, 3]` to float64 `[n, 1008]`: averages over squares, each scale alike."""
    unit = pictures.astype(np.float64) / 127.5 - 1.0
    parts = []
    for side in (4, 8, 16):
        edges = np.linspace(0, unit.shape[1], side + 1).astype(int)[:-1]
        counts = np.diff([*edges, unit.shape[1]])
        means = np.add.reduceat(np.add.reduceat(unit, edges, axis=1), edges, axis=2)
        means /= (counts[:, None] * counts)[None, :, :, None]
        parts.append(means.reshape(len(unit), -1) * (16 / side))
    return np.concatenate(parts, axis=1)
