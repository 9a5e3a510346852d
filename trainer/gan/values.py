"""What changes with the pictures seen, as it is in one step.

Owns where a step gets its scheduled values from: the config and the number of
the step, and nothing else, so that there is nothing to save.
"""

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from trainer.config import Config
from trainer.schedules import Value, value_at

Number: TypeAlias = float | tf.Tensor


class Values(NamedTuple):
    """The scheduled values of one step: numbers, or scalar tensors where they change.

    Attributes:
        generator_rate: Of G's optimizer; None: the configured number, which it has already.
        discriminator_rate: Of D's.
        r1_weight: Of the gradient penalty on real pictures.
        r2_weight: Of that on generated pictures.
        gradient_penalty_weight: Of that between both.
        augment_strength: Probability of each transformation.
        half_life_images: Of the averaged generator.
    """

    generator_rate: Number | None
    discriminator_rate: Number | None
    r1_weight: Number
    r2_weight: Number
    gradient_penalty_weight: Number
    augment_strength: Number
    half_life_images: Number


def values_at(
    config: Config, step: tf.Tensor, dtype: tf.DType, adaptive_strength: tf.Tensor | None = None
) -> Values:
    """Returns the values of the step that follows `step` finished ones.

    Args:
        config: The run's config.
        step: int64 scalar.
        dtype: Of tensors that multiply a loss or a picture; the half-life stays float64.
        adaptive_strength: Of augmentation, where the config says `adaptive`.
    """
    batch, run_images = config.training.global_batch, config.training.images
    images_seen = tf.cast(step * batch, tf.float64)

    def now(value: Value, to: tf.DType = dtype) -> Number:
        current = value_at(value, images_seen, run_images, tf.math)
        return tf.cast(current, to) if isinstance(current, tf.Tensor) else current

    def rate(value: Value) -> Number | None:
        return None if isinstance(value, float) else now(value)

    configured = config.augment.strength
    if isinstance(configured, str):
        strength: Number = tf.cast(adaptive_strength, dtype)
    else:
        strength = now(configured)
    return Values(
        generator_rate=rate(config.generator_adam.rate),
        discriminator_rate=rate(config.discriminator_adam.rate),
        r1_weight=now(config.loss.r1_weight),
        r2_weight=now(config.loss.r2_weight),
        gradient_penalty_weight=now(config.loss.gradient_penalty_weight),
        augment_strength=strength,
        half_life_images=now(config.ema.half_life_images, tf.float64),
    )
