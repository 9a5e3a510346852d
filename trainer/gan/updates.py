"""From a network's gradients to its new weights.

Owns the one update that a step makes of a network: summed over workers, unscaled, applied.
"""

import tensorflow as tf

from trainer.distribution import Distribution, ReplicaAdam
from trainer.gan.halves import Logs
from trainer.gan.loss_scale import LossScale


class Update:
    """Updates one network.

    Args:
        optimizer: Built on the network's weights.
        scale: What its loss was multiplied by.
        distribution: Where the step runs.

    Attributes:
        optimizer, scale: As given.
    """

    def __init__(
        self, optimizer: ReplicaAdam, scale: LossScale, distribution: Distribution
    ) -> None:
        self.optimizer, self.scale, self._distribution = optimizer, scale, distribution

    def __call__(self, gradients: list[tf.Tensor], logs: Logs, rate: tf.Tensor | None) -> Logs:
        """Applies this worker's share of the gradients, and all the others'.

        Args:
            gradients: Of each trainable weight, still scaled.
            logs: Scalars that travel with them.
            rate: Of this step; None: the optimizer's own.

        Returns:
            `logs`, summed over workers.
        """
        optimizer = self.optimizer
        gradients, logs = self._distribution.sum_with_logs(gradients, logs, optimizer.name)
        gradients = [self.scale.unscale(gradient) for gradient in gradients]
        with optimizer.at_rate(rate):
            self._apply(gradients)
        return logs

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        if not self.scale.enabled:
            self.optimizer.apply(gradients)
            return
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        self.optimizer.apply_where(finite, gradients)
        self.scale.update(finite)
