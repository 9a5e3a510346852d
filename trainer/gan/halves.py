"""The two sides of an adversarial step, up to their gradients.

Owns what each network's loss is and how it is differentiated; mirror images of
each other. Applies nothing: `trainer.gan.gan` sums the gradients over replicas
and updates. All losses are sums over this worker's rows divided by the global
batch, so that adding workers' gradients gives the batch's.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.config.learning import LossSettings
from trainer.gan.loss_scale import LossScale
from trainer.gan.losses import Loss, build_loss, squared_gradient_rows

Logs = dict[str, tf.Tensor]


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
        global_batch: What sums over rows are divided by.
        d_scale: Loss scale of the discriminator's loss.
        g_scale: Loss scale of the generator's loss.
    """

    def __init__(
        self,
        discriminator: keras.Model,
        settings: LossSettings,
        global_batch: int,
        d_scale: LossScale,
        g_scale: LossScale,
    ) -> None:
        self._discriminator = discriminator
        self._settings = settings
        self._loss: Loss = build_loss(settings)
        self._global_batch = global_batch
        self._d_scale = d_scale
        self._g_scale = g_scale

    def discriminator_half(
        self, real_images: tf.Tensor, fake_images: tf.Tensor, with_penalty: bool
    ) -> tuple[list[tf.Tensor], Logs]:
        """Gradients of D's loss for its weights, still scaled, and its figures."""
        weights = [v.value for v in self._discriminator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            real = self._judge(real_images, with_penalty and self._settings.r1_weight > 0)
            fake = self._judge(fake_images, with_penalty and self._settings.r2_weight > 0)
            loss, logs = self._discriminator_loss(real, fake)
            loss = self._d_scale.scale(loss)
        return tape.gradient(loss, weights), logs

    def generator_half(
        self, real_images: tf.Tensor, fake_images: tf.Tensor
    ) -> tuple[tf.Tensor, Logs]:
        """Gradient of G's loss at the generated pictures, still scaled, and its figures."""
        # Logits of real pictures take part in relative losses, but not in the gradient.
        real_logits = self._logits(real_images) if self._loss.relative else None
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(fake_images)
            loss = self._generator_loss(real_logits, self._logits(fake_images))
            scaled = self._g_scale.scale(loss)
        return tape.gradient(scaled, fake_images), {"g_loss": loss}

    def both(
        self, real_images: tf.Tensor, fake_images: tf.Tensor, with_penalty: bool
    ) -> tuple[list[tf.Tensor], tf.Tensor, Logs]:
        """Both gradients from one and the same D (simultaneous update)."""
        weights = [v.value for v in self._discriminator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch([*weights, fake_images])
            real = self._judge(real_images, with_penalty and self._settings.r1_weight > 0)
            fake = self._judge(fake_images, with_penalty and self._settings.r2_weight > 0)
            d_loss, logs = self._discriminator_loss(real, fake)
            d_loss = self._d_scale.scale(d_loss)
            g_loss = self._generator_loss(tf.stop_gradient(real.logits), fake.logits)
            g_scaled = self._g_scale.scale(g_loss)
        gradient = tape.gradient(g_scaled, fake_images)
        return tape.gradient(d_loss, weights), gradient, logs | {"g_loss": g_loss}

    def _judge(self, images: tf.Tensor, with_penalty: bool) -> Judged:
        if not with_penalty:
            return Judged(self._discriminator(images, training=True), None)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(images)
            logits = self._discriminator(images, training=True)
            total = self._d_scale.scale(tf.reduce_sum(logits))
        # Unscaled before squaring: a squared scale would overflow float16.
        gradient = self._d_scale.unscale(inner.gradient(total, images))
        return Judged(logits, tf.reduce_sum(squared_gradient_rows(gradient)))

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        """D on its batch statistics, its moving statistics left alone."""
        with keras.StatelessScope():
            return self._discriminator(images, training=True)

    def _discriminator_loss(self, real: Judged, fake: Judged) -> tuple[tf.Tensor, Logs]:
        real_rows, fake_rows = self._loss.discriminator(real.logits, fake.logits)
        d_loss_real, d_loss_fake = self._mean(real_rows), self._mean(fake_rows)
        loss = d_loss_real + d_loss_fake
        logs = {"d_loss": loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        logs["d_real_logit"] = self._mean(real.logits)
        logs["d_fake_logit"] = self._mean(fake.logits)
        for name, judged, weight in (
            ("r1_penalty", real, self._settings.r1_weight),
            ("r2_penalty", fake, self._settings.r2_weight),
        ):
            if judged.penalty is not None:
                logs[name] = 0.5 * weight * judged.penalty / self._global_batch
                loss += self._settings.penalty_every_steps * logs[name]
        return loss, logs

    def _generator_loss(self, real_logits: tf.Tensor | None, fake_logits: tf.Tensor) -> tf.Tensor:
        return self._mean(self._loss.generator(real_logits, fake_logits))

    def _mean(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(rows) / self._global_batch
