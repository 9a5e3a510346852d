"""A checkpoint's discriminator as a judge of pictures.

Owns the margin of a picture: what is averaged over which views. Does not read
data sets, and knows nothing of the other pictures that are judged.

The views of a picture are replayed as in training: its mirror image beside it
where the run mirrors, and what `augment` draws at the strength it had at the
checkpoint. Draws are functions of the picture's number and the view's, so
every checkpoint judges the same views, and so does every later call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from trainer.checkpoint.networks import config_of, fill
from trainer.config import Config
from trainer.errors import CheckpointError
from trainer.gan.augment import Augmentation
from trainer.gan.draws import Draws
from trainer.gan.networks import build_discriminator, build_generator
from trainer.gan.sampling import latents_from_seeds
from trainer.gan.values import values_at

if TYPE_CHECKING:
    import keras

    from trainer.checkpoint import Checkpoint

# Floating-point results depend on the batch's shape, so there is only one.
JUDGE_BATCH = 64
VIEWS = 8
_FAKES = 512
_STRENGTH = "adaptive/augment_strength"
PREFIXES = ("discriminator/", "generator/", _STRENGTH)

Logits = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Judge:
    """The discriminator of one checkpoint.

    Attributes:
        origin: Address of the checkpoint.
        step: Its step.
        fake_logit: Mean logit of generated pictures, seen through the same augmentation.
        mean_logits: uint8 `[n, H, W, 3]`, n at most `JUDGE_BATCH`, and the number of the
            first of them, a multiple of `JUDGE_BATCH`, to float64 `[n]`.
    """

    origin: str
    step: int
    fake_logit: float
    mean_logits: Logits

    def margins(self, pictures: np.ndarray, first: int) -> np.ndarray:
        """D(x) - E D(fake), each the mean over views; float64 `[n]`.

        The same for every loss. Relativistic losses give D's logit no zero of its own
        (Jolicoeur-Martineau 2018), so the mean over generated pictures is taken as
        zero; for the others it is a shift that all pictures share. Either way the order of the
        pictures is that of D(x).
        """
        return self.mean_logits(pictures, first) - self.fake_logit


def open_judge(found: "Checkpoint") -> Judge:
    """Builds the discriminator of a checkpoint, and judges its generator's pictures.

    Raises:
        CheckpointError: It does not fit its own config, or is damaged.
    """
    config = config_of(found)
    arrays = found.load(PREFIXES)
    size_px = config.dataset.size_px
    discriminator = build_discriminator(config.model, size_px)
    generator = build_generator(config.model, size_px)
    fill(discriminator, "discriminator", arrays, found)
    fill(generator, "generator", arrays, found)
    judge = _Views(config, _strength(config, arrays, found), discriminator)
    fakes = _Fakes(config, generator)
    totals = [
        judge.mean_logits(fakes.pictures(first), first).sum()
        for first in range(0, _FAKES, JUDGE_BATCH)
    ]
    zero = float(np.sum(totals) / _FAKES)

    def mean_logits(pictures: np.ndarray, first: int) -> np.ndarray:
        scaled = (pictures.astype(np.float32) / 127.5 - 1.0) * config.model.picture_scale
        return judge.mean_logits(scaled, first)

    return Judge(found.address, found.step, zero, mean_logits)


def _strength(config: Config, arrays: dict[str, np.ndarray], found: "Checkpoint") -> tf.Tensor:
    """The strength of augmentation in the step after the checkpoint, float32 scalar."""
    adapted = arrays.get(_STRENGTH)
    if adapted is None and config.augment.is_adaptive:
        raise CheckpointError(
            f"{found.address} lacks {_STRENGTH}, though its config says augment.strength=adaptive",
            expected="a checkpoint with everything adaptive in it",
            remedy="give the address of another checkpoint of the run",
        )
    step = tf.constant(found.step, tf.int64)
    strength = values_at(config, step, tf.float32, adapted).augment_strength
    return tf.cast(strength, tf.float32)


class _Views:
    """Mean logits over the views of a batch.

    D runs on its moving statistics: a picture's margin must not depend on what is judged
    beside it.
    """

    def __init__(self, config: Config, strength: tf.Tensor, discriminator: "keras.Model") -> None:
        self._discriminator = discriminator
        self._augmentation = Augmentation(config.augment.kinds)
        self._draws = Draws(config.seed, JUDGE_BATCH)
        self._strength = strength
        self._flips = config.dataset.flip
        drawn = bool(config.augment.kinds)
        # Without draws there are no more views than these.
        self._views = VIEWS if drawn else 1 + self._flips
        size_px = config.dataset.size_px
        self._compiled = tf.function(
            self._sum_of_views,
            input_signature=[
                tf.TensorSpec((JUDGE_BATCH, size_px, size_px, 3), tf.float32),
                tf.TensorSpec((), tf.int64),
            ],
        )

    def mean_logits(self, pictures: np.ndarray, first: int) -> np.ndarray:
        """Float pictures `[n, H, W, 3]`, scaled as in training, to float64 `[n]`."""
        padded = np.zeros((JUDGE_BATCH, *pictures.shape[1:]), np.float32)
        padded[: len(pictures)] = pictures
        number = tf.constant(first // JUDGE_BATCH, tf.int64)
        sums = self._compiled(tf.constant(padded), number).numpy()
        return sums[: len(pictures)].astype(np.float64) / self._views

    def _sum_of_views(self, pictures: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        total = tf.zeros([JUDGE_BATCH])
        for view in range(self._views):
            # Every other one, not by chance: the mirror image counts as much as the picture.
            seen = tf.reverse(pictures, [2]) if self._flips and view % 2 else pictures
            numbers = self._augmentation.draw(self._draws, "outliers", number, view)
            seen = self._augmentation(seen, numbers, self._strength)
            total += tf.reshape(self._discriminator(seen, training=False), [-1])
        return total


class _Fakes:
    """Pictures of the generator that the discriminator learned against, not of its average."""

    def __init__(self, config: Config, generator: "keras.Model") -> None:
        self._model = config.model
        shape = tf.TensorSpec((JUDGE_BATCH, config.model.latent_dim), tf.float32)
        self._draw = tf.function(
            lambda latents: generator(latents, training=False), input_signature=[shape]
        )

    def pictures(self, first: int) -> np.ndarray:
        """Float32 `[JUDGE_BATCH, H, W, 3]` of the seeds from `first` on."""
        seeds = range(first, first + JUDGE_BATCH)
        latents = latents_from_seeds(seeds, self._model.latent_dim, self._model.latent_distribution)
        return self._draw(tf.constant(latents)).numpy()
