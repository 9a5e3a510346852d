"""The two sides of an adversarial step, up to their gradients.

Owns what each network's loss is and how it is differentiated; mirror images of
each other. Applies nothing: `trainer.gan.gan` sums the gradients over replicas
and updates. All losses are sums over this worker's rows divided by the rows of
the update over all workers, so that adding workers' gradients gives the batch's.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.config.learning import LossSettings
from trainer.gan.augment import Augmentation
from trainer.gan.inputs import Rows
from trainer.gan.loss_scale import LossScale
from trainer.gan.losses import Loss, build_loss, one_lipschitz_rows, squared_gradient_rows
from trainer.gan.values import Values
from trainer.schedules import largest

Logs = dict[str, tf.Tensor]
# The log that carries the sum of the signs of D's logits on real pictures.
SIGNS = "d_real_signs"


class Judged(NamedTuple):
    """The discriminator's view of some pictures.

    Attributes:
        logits: `[n, 1]`.
        penalty: Sum over rows of the squared gradient norm, or None where not due.
    """

    logits: tf.Tensor
    penalty: tf.Tensor | None


class Halves:
    """Losses and gradients of both networks for the rows of one worker.

    Args:
        discriminator: Pictures `[n, H, W, 3]` to logits `[n, 1]`.
        settings: The `loss` section.
        update_batch: Rows of an update over all workers, which sums are divided by.
        d_scale: Loss scale of the discriminator's loss.
        g_scale: Loss scale of the generator's loss.
        augmentation: What the discriminator sees its pictures through.
        sum_over_workers: Sums a scalar over all workers, differentiably.
        counts_signs: Whether D's figures have the sum of its logits' signs on real pictures.
    """

    def __init__(
        self,
        discriminator: keras.Model,
        settings: LossSettings,
        update_batch: int,
        d_scale: LossScale,
        g_scale: LossScale,
        augmentation: Augmentation,
        sum_over_workers: Callable[[tf.Tensor], tf.Tensor],
        *,
        counts_signs: bool = False,
    ) -> None:
        self._discriminator = discriminator
        self._settings = settings
        self._loss: Loss = build_loss(settings)
        self._update_batch = update_batch
        self._d_scale = d_scale
        self._g_scale = g_scale
        self._augmentation = augmentation
        self._sum_over_workers = sum_over_workers
        self._counts_signs = counts_signs

    @property
    def asks_workers(self) -> bool:
        """Whether a loss needs other workers' logits, which XLA cannot compile."""
        return self._loss.averages

    def discriminator_half(
        self,
        real_images: tf.Tensor,
        fake_images: tf.Tensor,
        rows: Rows,
        values: Values,
        with_penalty: bool,
    ) -> tuple[list[tf.Tensor], Logs]:
        """Gradients of D's loss for its weights, still scaled, and its figures."""
        weights = [v.value for v in self._discriminator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            _, _, loss, logs = self._judged(real_images, fake_images, rows, values, with_penalty)
            loss = self._d_scale.scale(loss)
        return tape.gradient(loss, weights), logs

    def generator_half(
        self, real_images: tf.Tensor, fake_images: tf.Tensor, rows: Rows, values: Values
    ) -> tuple[tf.Tensor, Logs]:
        """Gradient of G's loss at the generated pictures, still scaled, and its figures."""
        # Logits of real pictures take part in relative losses, but not in the gradient.
        real_logits = None
        if self._loss.relative:
            real_logits = self._logits(real_images, rows.augment_real, values)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(fake_images)
            fake_logits = self._logits(fake_images, rows.augment_fake, values)
            loss = self._generator_loss(real_logits, fake_logits)
            scaled = self._g_scale.scale(loss)
        return tape.gradient(scaled, fake_images), {"g_loss": loss}

    def both(
        self,
        real_images: tf.Tensor,
        fake_images: tf.Tensor,
        rows: Rows,
        values: Values,
        with_penalty: bool,
    ) -> tuple[list[tf.Tensor], tf.Tensor, Logs]:
        """Both gradients from one and the same D (simultaneous update)."""
        weights = [v.value for v in self._discriminator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch([*weights, fake_images])
            real, fake, d_loss, logs = self._judged(
                real_images, fake_images, rows, values, with_penalty
            )
            d_loss = self._d_scale.scale(d_loss)
            g_loss = self._generator_loss(tf.stop_gradient(real.logits), fake.logits)
            g_scaled = self._g_scale.scale(g_loss)
        gradient = tape.gradient(g_scaled, fake_images)
        return tape.gradient(d_loss, weights), gradient, logs | {"g_loss": g_loss}

    def _judged(
        self, real_images, fake_images, rows: Rows, values: Values, with_penalty: bool
    ) -> tuple[Judged, Judged, tf.Tensor, Logs]:
        """D's view of both kinds of pictures, its loss with penalties, and its figures."""
        loss = self._settings
        due = [with_penalty and largest(w) > 0 for w in (loss.r1_weight, loss.r2_weight)]
        real = self._judge(real_images, rows.augment_real, values, due[0])
        fake = self._judge(fake_images, rows.augment_fake, values, due[1])
        penalties: Logs = {}
        if real.penalty is not None:
            penalties["r1_penalty"] = 0.5 * values.r1_weight * real.penalty
        if fake.penalty is not None:
            penalties["r2_penalty"] = 0.5 * values.r2_weight * fake.penalty
        if with_penalty and largest(loss.gradient_penalty_weight) > 0:
            share = tf.cast(rows.mixing, real_images.dtype)[:, :, None, None]
            between = share * real_images + (1.0 - share) * fake_images
            gradient = self._gradient(between, rows.augment_real, values)[1]
            total = tf.reduce_sum(one_lipschitz_rows(gradient))
            penalties["gradient_penalty"] = values.gradient_penalty_weight * total
        return real, fake, *self._discriminator_loss(real, fake, penalties)

    def _judge(self, images, numbers, values: Values, with_penalty: bool) -> Judged:
        if not with_penalty:
            return Judged(self._seen(images, numbers, values), None)
        logits, gradient = self._gradient(images, numbers, values)
        return Judged(logits, tf.reduce_sum(squared_gradient_rows(gradient)))

    def _gradient(self, images, numbers, values: Values) -> tuple[tf.Tensor, tf.Tensor]:
        """D's logits and each one's gradient at its picture, through the augmentation."""
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(images)
            logits = self._seen(images, numbers, values)
            total = self._d_scale.scale(tf.reduce_sum(logits))
        # Unscaled before squaring: a squared scale would overflow float16.
        return logits, self._d_scale.unscale(inner.gradient(total, images))

    def _seen(self, images, numbers, values: Values) -> tf.Tensor:
        augmented = self._augmentation(images, numbers, values.augment_strength)
        return self._discriminator(augmented, training=True)

    def _logits(self, images, numbers, values: Values) -> tf.Tensor:
        """D on its batch statistics, its moving statistics left alone."""
        with keras.StatelessScope():
            return self._seen(images, numbers, values)

    def _discriminator_loss(
        self, real: Judged, fake: Judged, penalties: Logs
    ) -> tuple[tf.Tensor, Logs]:
        real_rows, fake_rows = self._loss.discriminator(real.logits, fake.logits, self._batch_mean)
        d_loss_real, d_loss_fake = self._mean(real_rows), self._mean(fake_rows)
        loss = d_loss_real + d_loss_fake
        logs = {"d_loss": loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        if self._counts_signs:
            logs[SIGNS] = tf.reduce_sum(tf.sign(real.logits - self._loss.undecided))
        logs["d_real_logit"] = self._mean(real.logits)
        logs["d_fake_logit"] = self._mean(fake.logits)
        for name, penalty in penalties.items():
            logs[name] = penalty / self._update_batch
            loss += self._settings.penalty_every_steps * logs[name]
        return loss, logs

    def _generator_loss(self, real_logits: tf.Tensor | None, fake_logits: tf.Tensor) -> tf.Tensor:
        return self._mean(self._loss.generator(real_logits, fake_logits, self._batch_mean))

    def _mean(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(rows) / self._update_batch

    def _batch_mean(self, rows: tf.Tensor) -> tf.Tensor:
        return self._sum_over_workers(tf.reduce_sum(rows)) / self._update_batch
