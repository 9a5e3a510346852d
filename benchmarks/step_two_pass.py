"""The step that ours is measured against: two generator passes, built-in layers, Keras' Adam.

Written as the GAN example of Keras (`dcgan_overriding_train_step`) is: generate without a
tape, update D; generate again under a tape, update G. Losses, penalties, draws and averaging
are those of the config, so that it computes the very weights that ours does (a test says so).
Not made slow: one `tf.function`, penalties share the pass that their loss needs, and what
nobody asks for (D's gradient in G's half) TensorFlow prunes.
"""

import math
from typing import Protocol

import keras
import tensorflow as tf

from trainer.config import Config
from trainer.gan.networks import build_discriminator, build_generator


class Noise(Protocol):
    """Where a step's draws come from."""

    def latents(self, step: tf.Tensor) -> tf.Tensor:
        """`[n, latent_dim]`."""

    def flips(self, step: tf.Tensor) -> tf.Tensor:
        """Boolean `[n]`."""


class PlainNoise:
    """Draws as one writes them without a thought for resuming."""

    def __init__(self, config: Config) -> None:
        self._uniform = config.model.latent_distribution == "uniform"
        self._shape = [config.training.global_batch, config.model.latent_dim]

    def latents(self, step: tf.Tensor) -> tf.Tensor:
        """See `Noise`."""
        if self._uniform:
            return tf.random.uniform(self._shape, -1.0, 1.0)
        return tf.random.normal(self._shape)

    def flips(self, step: tf.Tensor) -> tf.Tensor:
        """See `Noise`."""
        return tf.random.uniform(self._shape[:1]) < 0.5


class TwoPassGAN:
    """A GAN as the examples train it.

    Args:
        config: Of the run; precision float32 or float64.
        noise: Draws; default: `PlainNoise`.
        quick: Our quick layers instead of the built-in ones.
    """

    def __init__(self, config: Config, noise: Noise | None = None, *, quick: bool = False) -> None:
        self.config, self.noise = config, noise or PlainNoise(config)
        self.dtype = "float64" if config.precision == "float64" else "float32"
        options = {"seed": config.seed, "policy": self.dtype}
        # Two passes a step move the statistics twice; ours moves them once, twice as far.
        momentum = math.sqrt(config.model.generator_norm_momentum)
        model = config.model.model_copy(update={"generator_norm_momentum": momentum})
        size = config.dataset.size_px
        self.generator = build_generator(model, size, quick=quick, **options)
        self.discriminator = build_discriminator(model, size, quick=quick, **options)
        self.average = build_generator(model, size, **options)
        self.g_optimizer = _adam(config.generator_optimizer)
        self.d_optimizer = _adam(config.discriminator_optimizer)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.step = tf.function(self.train_step, autograph=False)

    def train_step(self, images: tf.Tensor, step: tf.Tensor, with_penalty: bool):
        """One step on uint8 `[n, H, W, 3]`; returns both losses."""
        real, latents = self.real_images(images, step), self.noise.latents(step)
        latents = tf.cast(latents, self.dtype)
        fake = self.generator(latents, training=True)
        weights = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            real_logits, r1 = self.judged(real, with_penalty and self.config.loss.r1_weight)
            fake_logits, r2 = self.judged(fake, with_penalty and self.config.loss.r2_weight)
            d_loss = self.d_loss(real_logits, fake_logits)
            total = d_loss + self.config.loss.penalty_every_steps * (r1 + r2)
        self.d_optimizer.apply_gradients(zip(tape.gradient(total, weights), weights, strict=True))
        weights = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            fake_logits = self.discriminator(self.generator(latents, training=True), training=True)
            g_loss = self.g_loss(real, fake_logits)
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        self.move_average(step)
        return d_loss, g_loss

    def judged(self, pictures: tf.Tensor, weight: float):
        """Logits, and the gradient penalty where `weight` is not zero."""
        if not weight:
            return self.discriminator(pictures, training=True), 0.0
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            logits = self.discriminator(pictures, training=True)
        gradient = tape.gradient(logits, pictures)
        norms = tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])
        return logits, 0.5 * weight * tf.reduce_mean(norms)

    def d_loss(self, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
        """D's loss of logits `[n, 1]`."""
        if self.config.loss.name == "relativistic_pairing":
            return tf.reduce_mean(tf.nn.softplus(fake - real))
        smoothing = self.config.loss.label_smoothing
        of_real = (1 - smoothing) * tf.nn.softplus(-real) + smoothing * tf.nn.softplus(real)
        return tf.reduce_mean(of_real) + tf.reduce_mean(tf.nn.softplus(fake))

    def g_loss(self, real: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
        """G's loss of logits `[n, 1]`; relativistic pairs judge the real pictures again."""
        if self.config.loss.name == "relativistic_pairing":
            return tf.reduce_mean(
                tf.nn.softplus(self.discriminator(real, training=True) - fake_logits)
            )
        return tf.reduce_mean(tf.nn.softplus(-fake_logits))

    def real_images(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """uint8 to the networks' range, some of them mirrored."""
        scale = self.config.model.picture_scale
        pictures = tf.cast(images, self.dtype) * (scale / 127.5) - scale
        if not self.config.dataset.flip:
            return pictures
        flips = self.noise.flips(step)[:, None, None, None]
        return tf.where(flips, tf.image.flip_left_right(pictures), pictures)

    def move_average(self, step: tf.Tensor) -> None:
        """The averaged generator, its half-life growing with the pictures seen."""
        batch = self.config.training.global_batch
        seen = tf.cast((step + 1) * batch, tf.float64)
        half_life = tf.minimum(
            tf.constant(self.config.ema.half_life_images, tf.float64), 0.05 * seen
        )
        beta = tf.where(half_life > 0, 0.5 ** (batch / tf.maximum(half_life, 1e-9)), 0.0)
        beta = tf.cast(beta, self.dtype)
        for average, weight in zip(self.average.variables, self.generator.variables, strict=True):
            average.assign(beta * average + (1 - beta) * weight)


def _adam(settings) -> keras.optimizers.Adam:
    return keras.optimizers.Adam(
        settings.rate, beta_1=settings.beta_1, beta_2=settings.beta_2, epsilon=settings.epsilon
    )
