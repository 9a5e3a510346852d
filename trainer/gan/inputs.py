"""What goes into a step: real pictures as the networks want them, latents, and other draws.

Owns the way from uint8 pictures and the number of the step to all that a step has drawn, and
dealing it out where D is updated several times in one step.
"""

from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from trainer.config import Config
from trainer.gan.augment import Augmentation
from trainer.gan.draws import Draws, mirrored
from trainer.schedules import largest


class Rows(NamedTuple):
    """What a step has drawn for its rows, besides latents.

    Attributes:
        augment_real: `[n, numbers]`, for `Augmentation`; None: it is done already.
        augment_fake: The same for the generated pictures.
        mixing: `[n, 1]` in [0, 1), the real picture's share in the gradient penalty's; or `[n, 0]`.
    """

    augment_real: tf.Tensor | None
    augment_fake: tf.Tensor | None
    mixing: tf.Tensor

    def all_done(self) -> "Rows":
        """The same for pictures that are augmented already."""
        return Rows(None, None, self.mixing)


class Inputs:
    """Inputs of one worker's rows.

    Args:
        config: Of the run.
        draws: Random numbers of these rows.
        augmentation: Whose numbers are drawn too.
        picture_dtype: Of real pictures.
        latent_dtype: Of latents.
    """

    def __init__(
        self,
        config: Config,
        draws: Draws,
        augmentation: Augmentation,
        picture_dtype: str,
        latent_dtype: str,
    ) -> None:
        self._config, self._draws, self._augmentation = config, draws, augmentation
        self._picture_dtype, self._latent_dtype = picture_dtype, latent_dtype

    def real_images(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """uint8 `[n, H, W, 3]` to the networks' range and precision, flipped by draw."""
        scale = self._config.model.picture_scale
        if self._config.dataset.flip:
            images = mirrored(images, self._draws.uniform("flip", step) < 0.5)
        return tf.cast(images, self._picture_dtype) * (scale / 127.5) - scale

    def latents(self, step: tf.Tensor) -> tf.Tensor:
        """`[n, latent_dim]`."""
        model = self._config.model
        if model.latent_distribution == "uniform":
            latents = self._draws.uniform("latents", step, [model.latent_dim], low=-1.0)
        else:
            latents = self._draws.normal("latents", step, [model.latent_dim])
        return tf.cast(latents, self._latent_dtype)

    def rows(self, step: tf.Tensor) -> Rows:
        """All else that is drawn."""
        has_mixing = largest(self._config.loss.gradient_penalty_weight) > 0
        return Rows(
            self._augmentation.draw(self._draws, "real", step),
            self._augmentation.draw(self._draws, "fake", step),
            self._draws.uniform("gradient_penalty", step, [int(has_mixing)]),
        )

    def dealt(
        self, real_images: tf.Tensor, latents: tf.Tensor, rows: Rows
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor, Rows]]:
        """Yields each update's own part, the first rows of the global batch first.

        A worker's rows are those of its lanes, block by block, and an update takes whole blocks:
        equal parts of each worker's rows are the parts of the global batch.
        """
        updates = self._config.training.discriminator_updates
        if updates == 1:
            yield real_images, latents, rows
            return
        cut = [tf.split(tensor, updates) for tensor in (real_images, latents, *rows)]
        for real_part, latents_part, *drawn in zip(*cut, strict=True):
            yield real_part, latents_part, Rows(*drawn)
