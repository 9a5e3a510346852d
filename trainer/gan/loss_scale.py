"""Dynamic loss scaling for float16 (Micikevicius et al. 2018, section 3.2).

One scale for each network, decided after gradients are summed over replicas,
so that all of them decide alike.
"""

import tensorflow as tf

_INITIAL = 2.0**15
_GROWTH_STEPS = 2000
_MAX = 2.0**24
# A scale of one is that of a run that needs none.
LEAST, _NONE = 2.0, 1.0


class LossScale:
    """A power of two that a loss is multiplied by; 1 and constant unless `enabled`.

    Attributes:
        value: The scale, float32 variable.
        good_steps: Finite steps in a row, int64 variable.
    """

    def __init__(self, enabled: bool, name: str) -> None:
        self.enabled = enabled
        initial = _INITIAL if enabled else _NONE
        self.value = tf.Variable(initial, trainable=False, dtype=tf.float32, name=f"{name}_scale")
        self.good_steps = tf.Variable(0, trainable=False, dtype=tf.int64, name=f"{name}_good_steps")

    def begin(self) -> None:
        """Begins at the usual scale if what was loaded comes from a run that needed none."""
        if self.enabled and float(self.value.numpy()) == _NONE:
            self.value.assign(_INITIAL)

    def scale(self, loss: tf.Tensor) -> tf.Tensor:
        """Multiplies a loss by the scale."""
        return loss * tf.cast(self.value, loss.dtype) if self.enabled else loss

    def unscale(self, gradient: tf.Tensor) -> tf.Tensor:
        """Divides a gradient by the scale."""
        return gradient / tf.cast(self.value, gradient.dtype) if self.enabled else gradient

    def update(self, finite: tf.Tensor) -> None:
        """Halves the scale after a non-finite step, doubles it after 2,000 finite ones."""
        good = tf.where(finite, self.good_steps + 1, tf.zeros_like(self.good_steps))
        grow = good >= _GROWTH_STEPS
        scale = tf.where(finite, self.value, tf.maximum(self.value / 2.0, LEAST))
        self.value.assign(tf.where(grow, tf.minimum(scale * 2.0, _MAX), scale))
        self.good_steps.assign(tf.where(grow, tf.zeros_like(good), good))
