"""The averaged generator: an exponential moving average of G's weights.

The single largest gain in picture quality for its cost (Yazici et al. 2019).
Its half-life is counted in pictures and grows from the start of the run, so
that early, bad weights are forgotten soon (as in Karras et al. 2020).
"""

from collections.abc import Sequence

import tensorflow as tf

# Share of the pictures seen so far that the half-life may reach.
_RAMP = 0.05


def decay(
    images_seen: tf.Tensor | None, global_batch: int, half_life_images: float | tf.Tensor
) -> tf.Tensor:
    """Returns the factor of the old average for one step, float64 scalar in [0, 1).

    Args:
        images_seen: Pictures seen including this step, integer scalar; None: no ramp, for an
            average that begins with good weights.
        global_batch: Pictures in this step.
        half_life_images: Configured half-life, at this step; 0 means a plain copy.
    """
    half_life = tf.convert_to_tensor(half_life_images, tf.float64)
    if images_seen is not None:
        half_life = tf.minimum(half_life, _RAMP * tf.cast(images_seen, tf.float64))
    exponent = tf.cast(global_batch, tf.float64) / tf.maximum(half_life, 1e-9)
    return tf.where(half_life > 0, tf.pow(tf.constant(0.5, tf.float64), exponent), 0.0)


def update(
    averages: Sequence[tf.Variable], sources: Sequence[tf.Variable], beta: tf.Tensor
) -> None:
    """Moves each average towards its source; moving statistics alike.

    Args:
        averages: Of the averaged generator.
        sources: Of the trained one, in the same order.
        beta: Share of the old average that stays, float64 scalar in [0, 1], see `decay`.
    """
    for average, source in zip(averages, sources, strict=True):
        old, new = tf.cast(beta, average.dtype), tf.cast(1.0 - beta, average.dtype)
        average.assign(old * average + new * source)
