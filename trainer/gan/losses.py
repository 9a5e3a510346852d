"""Adversarial losses and gradient penalties, row by row.

Pure functions of logits `[n, 1]` (float32 or float64): each returns one number
a row, `[n]`. Sums over rows, and the division by the *global* batch, belong
to the step, which makes uneven shares of a batch exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from trainer.config.learning import LossSettings


@dataclass(frozen=True)
class Loss:
    """One adversarial loss.

    Attributes:
        discriminator: `(real_logits, fake_logits) -> (real rows, fake rows)`; the sum of both
            is minimised. A loss of pairs has one term, given as the real rows.
        generator: `(real_logits, fake_logits) -> rows`, minimised.
        relative: Whether the generator's side needs logits of real pictures.
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    generator: Callable[[tf.Tensor | None, tf.Tensor], tf.Tensor]
    relative: bool


def build_loss(settings: LossSettings) -> Loss:
    """Returns the loss that the `loss` section names."""
    if settings.name == "relativistic_pairing":
        return Loss(_pairing_discriminator, _pairing_generator, relative=True)
    smoothing = settings.label_smoothing
    return Loss(
        lambda real, fake: _non_saturating_discriminator(real, fake, smoothing),
        lambda _, fake: tf.nn.softplus(-_flat(fake)),
        relative=False,
    )


def _flat(logits: tf.Tensor) -> tf.Tensor:
    return tf.reshape(logits, [-1])


def _non_saturating_discriminator(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, smoothing: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropy (Goodfellow et al. 2014, eq. 1) with labels 1 - smoothing and 0.

    One-sided smoothing: Salimans et al. 2016, section 3.4.
    """
    real, fake = _flat(real_logits), _flat(fake_logits)
    real_rows = (1.0 - smoothing) * tf.nn.softplus(-real) + smoothing * tf.nn.softplus(real)
    return real_rows, tf.nn.softplus(fake)


def _pairing_discriminator(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Relativistic pairing, f(t) = -log(1 + exp(-t)) (Jolicoeur-Martineau 2018; R3GAN, eq. 2)."""
    rows = tf.nn.softplus(_flat(fake_logits) - _flat(real_logits))
    return rows, tf.zeros_like(rows)


def _pairing_generator(real_logits: tf.Tensor | None, fake_logits: tf.Tensor) -> tf.Tensor:
    """The generator's side of relativistic pairing: the same pairs, the other way round."""
    return tf.nn.softplus(_flat(real_logits) - _flat(fake_logits))


def squared_gradient_rows(gradient: tf.Tensor) -> tf.Tensor:
    """Squared norm of each picture's gradient, summed over pixels and channels.

    R1 on real and R2 on generated pictures (Mescheder et al. 2018, eq. 9 and
    10) are half the mean of these rows times their weight.
    """
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])
