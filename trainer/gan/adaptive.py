"""How strong augmentation is, from how sure D is of real pictures (ADA).

Owns the heuristic and its state, which is in every checkpoint. Karras et al.
2020, "Training generative adversarial networks with limited data", section 3,
eq. 1: r_t = E[sign(D(real))] over the last few steps is held at a target by
moving the strength a fixed amount up or down.
"""

from typing import Any

import tensorflow as tf

from trainer.config import Config


class AdaptiveStrength:
    """The strength of augmentation and what it is decided by.

    Signs are counted in integers over the whole global batch, so that any number of workers
    decides alike. With several updates of D a step those of the last one count.

    Args:
        config: A config whose `augment.strength` is `adaptive`.

    Attributes:
        strength: Of the next step, float64 variable in [0, 1].
        signs: Logits above that of an undecided D (`Loss.undecided`) less those below, since the
            last decision; int64 variable.
        judged: Logits since the last decision, int64 variable.
    """

    def __init__(self, config: Config) -> None:
        settings, training = config.augment, config.training
        self._target = settings.adaptive_target
        self._every_steps = settings.adaptive_every_steps
        self._move = self._every_steps * training.global_batch / settings.adaptive_images
        self._judged = training.update_batch
        self.strength = tf.Variable(0.0, trainable=False, dtype=tf.float64, name="strength")
        self.signs = tf.Variable(0, trainable=False, dtype=tf.int64, name="signs")
        self.judged = tf.Variable(0, trainable=False, dtype=tf.int64, name="judged")

    def update(self, signs: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """Counts a step's signs and, when due, moves the strength for the steps after it.

        Args:
            signs: Sum of such signs over all workers' rows, a whole number of any float type.
            step: Finished steps before this one, int64 scalar.

        Returns:
            Figures: `augment_strength` of this step and `d_real_sign`, its mean sign.
        """
        used = tf.identity(self.strength)
        total = self.signs + tf.cast(tf.round(signs), tf.int64)
        judged = self.judged + self._judged
        due = (step + 1) % self._every_steps == 0
        mean = tf.cast(total, tf.float64) / tf.cast(judged, tf.float64)
        moved = tf.clip_by_value(used + self._move * tf.sign(mean - self._target), 0.0, 1.0)
        self.strength.assign(tf.where(due, moved, used))
        self.signs.assign(tf.where(due, tf.zeros_like(total), total))
        self.judged.assign(tf.where(due, tf.zeros_like(judged), judged))
        return {"augment_strength": used, "d_real_sign": signs / self._judged}

    def variables(self) -> dict[str, Any]:
        """Returns the state by its names in a checkpoint."""
        return {
            "adaptive/augment_strength": self.strength,
            "adaptive/augment_signs": self.signs,
            "adaptive/augment_judged": self.judged,
        }
