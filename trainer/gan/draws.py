"""Random numbers inside a step, as a function of (seed, purpose, step, update).

Owns the draws of a training step (design: no generator state, nothing to
save). Numbers are drawn in float32 for the whole global batch and then cut to
this worker's rows, so that any number of workers draws the same pictures.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer import seeds

# Updates of one network within one step that can have draws of their own.
_UPDATES_PER_STEP = 1024
# Philox alone gives the same numbers with and without XLA.
_ALGORITHM = "philox"


class Draws:
    """Draws for the rows of one worker.

    Args:
        run_seed: The run's seed.
        global_batch: Rows of a step, over all workers.
        rows: This worker's global rows, int64 `[n]`, or None for all of them.
    """

    def __init__(self, run_seed: int, global_batch: int, rows: np.ndarray | None = None) -> None:
        self._run_seed = run_seed
        self._global_batch = global_batch
        whole = rows is None or np.array_equal(rows, np.arange(global_batch))
        self._rows = None if whole else tf.constant(rows, tf.int64)
        self.count = global_batch if rows is None else len(rows)

    def normal(
        self, purpose: str, step: tf.Tensor, shape: Sequence[int] = (), update: int = 0
    ) -> tf.Tensor:
        """Standard normal float32 `[n, *shape]`."""
        seed = self._seed(purpose, step, update)
        numbers = tf.random.stateless_normal(
            [self._global_batch, *shape], seed=seed, alg=_ALGORITHM
        )
        return self._cut(numbers)

    def uniform(
        self,
        purpose: str,
        step: tf.Tensor,
        shape: Sequence[int] = (),
        update: int = 0,
        low: float = 0.0,
    ) -> tf.Tensor:
        """Uniform float32 `[n, *shape]` in [low, 1)."""
        numbers = tf.random.stateless_uniform(
            [self._global_batch, *shape],
            seed=self._seed(purpose, step, update),
            minval=low,
            maxval=1.0,
            alg=_ALGORITHM,
        )
        return self._cut(numbers)

    def _seed(self, purpose: str, step: tf.Tensor, update: int) -> tf.Tensor:
        key = tf.constant(seeds.purpose_key(self._run_seed, purpose), tf.int64)
        return tf.stack([key, step * _UPDATES_PER_STEP + update])

    def _cut(self, numbers: tf.Tensor) -> tf.Tensor:
        return numbers if self._rows is None else tf.gather(numbers, self._rows)
