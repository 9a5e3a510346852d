"""Adversarial losses and gradient penalties, row by row.

Pure functions of logits `[n, 1]` (float32 or float64): each returns one number
a row, `[n]`. Sums over rows, and the division by all rows of the update, belong
to the step, which makes uneven shares of a batch exact.

In the formulas C is the discriminator's logit, r a real and f a generated
picture, E the mean over the global batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from trainer.config.learning import LossSettings

# Rows of this worker to the mean over those of all workers.
Mean = Callable[[tf.Tensor], tf.Tensor]
LossRows = tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class Loss:
    """One adversarial loss.

    Attributes:
        discriminator: `(real_logits, fake_logits, mean) -> (real rows, fake rows)`; the sum of
            both is minimised. A loss of pairs has one term, given as the real rows.
        generator: `(real_logits, fake_logits, mean) -> rows`, minimised.
        relative: Whether the generator's side needs logits of real pictures.
        averages: Whether `mean` is called: logits `[n]` to their mean over the global batch.
        undecided: The logit of a D that cannot tell real from generated pictures.
        least: What D's loss cannot fall below.
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor, Mean], LossRows]
    generator: Callable[[tf.Tensor, tf.Tensor, Mean], tf.Tensor]
    relative: bool = False
    averages: bool = False
    undecided: float = 0.0
    least: float = 0.0


def build_loss(settings: LossSettings) -> Loss:
    """Returns the loss that the `loss` section names."""
    if settings.name == "non_saturating":
        return _non_saturating(settings.label_smoothing)
    return _LOSSES[settings.name]


def _flat(logits: tf.Tensor) -> tf.Tensor:
    return tf.reshape(logits, [-1])


def _non_saturating(smoothing: float) -> Loss:
    """Cross-entropy with labels 1 - smoothing and 0 (Goodfellow et al. 2014, eq. 1).

    With smoothing s and the logistic function S, D minimises
    -(1 - s) log S(C(r)) - s log(1 - S(C(r))) - log(1 - S(C(f))), and G -log S(C(f)) (their
    section 3). One-sided smoothing: Salimans et al.
    2016, section 3.4.
    """

    def discriminator(real_logits, fake_logits, _):
        real = _flat(real_logits)
        rows = (1.0 - smoothing) * tf.nn.softplus(-real) + smoothing * tf.nn.softplus(real)
        return rows, tf.nn.softplus(_flat(fake_logits))

    def generator(_, fake_logits, __):
        return tf.nn.softplus(-_flat(fake_logits))

    return Loss(discriminator, generator, least=_entropy(smoothing))


def _entropy(share: float) -> float:
    """Cross-entropy of a label with itself, in nats."""
    return -sum(p * math.log(p) for p in (share, 1.0 - share) if p > 0.0)


def _hinge_discriminator(real_logits: tf.Tensor, fake_logits: tf.Tensor, _: Mean) -> LossRows:
    """max(0, 1 - C(r)) + max(0, 1 + C(f)) (Lim and Ye 2017; Miyato et al. 2018, eq. 16)."""
    return tf.nn.relu(1.0 - _flat(real_logits)), tf.nn.relu(1.0 + _flat(fake_logits))


def _least_squares_discriminator(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, _: Mean
) -> LossRows:
    """(C(r) - 1)^2 / 2 + C(f)^2 / 2 (Mao et al. 2017, eq. 9)."""
    return 0.5 * tf.square(_flat(real_logits) - 1.0), 0.5 * tf.square(_flat(fake_logits))


def _least_squares_generator(_: tf.Tensor, fake_logits: tf.Tensor, __: Mean) -> tf.Tensor:
    """(C(f) - 1)^2 / 2 (Mao et al. 2017, eq. 9)."""
    return 0.5 * tf.square(_flat(fake_logits) - 1.0)


def _wasserstein_discriminator(real_logits: tf.Tensor, fake_logits: tf.Tensor, _: Mean) -> LossRows:
    """C(f) - C(r) (Arjovsky et al. 2017, eq. 3); wants a penalty or spectral norm beside it."""
    return -_flat(real_logits), _flat(fake_logits)


def _critic_generator(_: tf.Tensor, fake_logits: tf.Tensor, __: Mean) -> tf.Tensor:
    """-C(f), G's side of the Wasserstein (Arjovsky et al. 2017, eq. 3) and of the hinge loss
    (Lim and Ye 2017, eq. 4).
    """
    return -_flat(fake_logits)


def _average_discriminator(real_logits: tf.Tensor, fake_logits: tf.Tensor, mean: Mean) -> LossRows:
    """(C(r) - E C(f) - 1)^2 + (C(f) - E C(r) + 1)^2: RaLSGAN (Jolicoeur-Martineau 2018, app. B)."""
    real, fake = _flat(real_logits), _flat(fake_logits)
    return tf.square(real - mean(fake) - 1.0), tf.square(fake - mean(real) + 1.0)


def _average_generator(real_logits: tf.Tensor, fake_logits: tf.Tensor, mean: Mean) -> tf.Tensor:
    """(C(f) - E C(r) - 1)^2 + (C(r) - E C(f) + 1)^2 (as above)."""
    fake_rows, real_rows = _average_discriminator(fake_logits, real_logits, mean)
    return fake_rows + real_rows


def _pairing_discriminator(real_logits: tf.Tensor, fake_logits: tf.Tensor, _: Mean) -> LossRows:
    """log(1 + exp(C(f) - C(r))), row by row (Jolicoeur-Martineau 2018; R3GAN, eq. 2)."""
    rows = tf.nn.softplus(_flat(fake_logits) - _flat(real_logits))
    return rows, tf.zeros_like(rows)


def _pairing_generator(real_logits: tf.Tensor, fake_logits: tf.Tensor, _: Mean) -> tf.Tensor:
    """log(1 + exp(C(r) - C(f))): the same pairs, the other way round (as above)."""
    return tf.nn.softplus(_flat(real_logits) - _flat(fake_logits))


_LOSSES = {
    "hinge": Loss(_hinge_discriminator, _critic_generator),
    "least_squares": Loss(_least_squares_discriminator, _least_squares_generator, undecided=0.5),
    "wasserstein": Loss(_wasserstein_discriminator, _critic_generator),
    "relativistic_average": Loss(
        _average_discriminator, _average_generator, relative=True, averages=True
    ),
    "relativistic_pairing": Loss(_pairing_discriminator, _pairing_generator, relative=True),
}


def squared_gradient_rows(gradient: tf.Tensor) -> tf.Tensor:
    """|dC(x)/dx|^2 of each picture x, summed over pixels and channels.

    R1 = w/2 E |dC(r)/dr|^2 and R2 = w/2 E |dC(f)/df|^2, w the weight (Mescheder et al. 2018, eq.
    9 and 10): half the mean of these rows times their weight.

    Args:
        gradient: `[n, H, W, 3]`.
    """
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])


def one_lipschitz_rows(gradient: tf.Tensor) -> tf.Tensor:
    """(|gradient| - 1)^2 of each picture (WGAN-GP: Gulrajani et al. 2017, eq. 3).

    The root's derivative is infinite at zero, where it is taken as zero: a dead
    discriminator must not make the weights NaN.

    Args:
        gradient: `[n, H, W, 3]`.
    """
    squares = squared_gradient_rows(gradient)
    dead = tf.equal(squares, 0.0)
    norms = tf.where(dead, squares, tf.sqrt(tf.where(dead, tf.ones_like(squares), squares)))
    return tf.square(norms - 1.0)
