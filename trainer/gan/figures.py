"""What a step tells: its figures, the last penalties, and the first step that went wrong."""

import numpy as np
import tensorflow as tf

from trainer.config.learning import LossSettings
from trainer.gan.halves import Logs
from trainer.schedules import largest


class StepFigures:
    """Notes of a run's steps, on the device.

    Args:
        loss: Which penalties there are.

    Attributes:
        last_penalties: Variable, float32: the last value of each penalty, unmultiplied.
        first_nonfinite_step: Variable, int64: the first step whose losses were not finite, or -1.
    """

    def __init__(self, loss: LossSettings) -> None:
        between = ["gradient_penalty"] if largest(loss.gradient_penalty_weight) > 0 else []
        # In the order of the checkpoint's tensor.
        self._penalties = ["r1_penalty", "r2_penalty", *between]
        zeros = [0.0] * len(self._penalties)
        self.last_penalties = tf.Variable(zeros, trainable=False, name="last_penalties")
        self.first_nonfinite_step = tf.Variable(-1, trainable=False, dtype=tf.int64)

    def of(self, logs: Logs, step: tf.Tensor) -> Logs:
        """Returns a step's figures in float32, `step` steps being finished before it.

        Where no penalty was due the last ones stand in its place.
        """
        losses = tf.stack([logs["d_loss"], logs["g_loss"]])
        first = self.first_nonfinite_step
        bad = (first < 0) & ~tf.reduce_all(tf.math.is_finite(losses))
        first.assign(tf.where(bad, step + 1, first))
        if any(name in logs for name in self._penalties):
            zero = tf.zeros((), losses.dtype)
            penalties = tf.stack([logs.pop(name, zero) for name in self._penalties])
            penalties = tf.cast(penalties, tf.float32)
            # Of a step whose scaled loss overflowed, which changes nothing but the scale.
            known = tf.math.is_finite(penalties)
            self.last_penalties.assign(tf.where(known, penalties, self.last_penalties))
        last = dict(zip(self._penalties, tf.unstack(self.last_penalties), strict=True))
        return {name: tf.cast(value, tf.float32) for name, value in logs.items()} | last

    def fitted(self, last_penalties: np.ndarray) -> np.ndarray:
        """Returns a checkpoint's last penalties for those of this config: the third may be new."""
        fitted = np.zeros(len(self._penalties), last_penalties.dtype)
        both = min(len(fitted), len(last_penalties))
        fitted[:both] = last_penalties[:both]
        return fitted
