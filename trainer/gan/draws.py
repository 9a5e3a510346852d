"""Random numbers inside a step, as a function of (seed, purpose, step, variant).

Owns the draws of a training step (design: no generator state, nothing to
save). Numbers are drawn in float32 for the whole global batch and then cut to
this worker's rows, so that any number of workers draws the same pictures.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer import seeds

# Draws for one purpose of one step that can differ: a replayed step looks at more than one.
_VARIANTS_PER_STEP = 1024
# Bits of Philox (Salmon et al. 2011) are the same with and without XLA; the floating-point
# numbers that TensorFlow makes of them are not, so these are made here.
_ALGORITHM = "philox"
_ULP = 2.0**-24


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
        self, purpose: str, step: tf.Tensor, shape: Sequence[int] = (), variant: int = 0
    ) -> tf.Tensor:
        """Standard normal float32 `[n, *shape]`."""
        # Box and Muller (1958); the first of each pair in (0, 1], where the logarithm is finite.
        pairs = self._bits(purpose, step, [2, *shape], variant)
        first, second = (tf.cast(_unit(bits), tf.float64) for bits in tf.unstack(pairs, axis=1))
        # In float64, where compilers' logarithms differ by less than the cast to float32 rounds.
        radius = tf.sqrt(-2.0 * tf.math.log(first + _ULP))
        return self._cut(tf.cast(radius * tf.cos(2.0 * math.pi * second), tf.float32))

    def uniform(
        self,
        purpose: str,
        step: tf.Tensor,
        shape: Sequence[int] = (),
        variant: int = 0,
        low: float = 0.0,
    ) -> tf.Tensor:
        """Uniform float32 `[n, *shape]` in [low, 1)."""
        return self._cut(low + (1.0 - low) * _unit(self._bits(purpose, step, shape, variant)))

    def _bits(self, purpose: str, step: tf.Tensor, shape: Sequence[int], variant: int) -> tf.Tensor:
        return tf.random.stateless_uniform(
            [self._global_batch, *shape],
            seed=self._seed(purpose, step, variant),
            minval=None,
            maxval=None,
            dtype=tf.uint32,
            alg=_ALGORITHM,
        )

    def _cut(self, numbers: tf.Tensor) -> tf.Tensor:
        # Last, because a logarithm's last bit depends on its place in the vector.
        return numbers if self._rows is None else tf.gather(numbers, self._rows)

    def _seed(self, purpose: str, step: tf.Tensor, variant: int) -> tf.Tensor:
        key = tf.constant(seeds.purpose_key(self._run_seed, purpose), tf.int64)
        return tf.stack([key, step * _VARIANTS_PER_STEP + variant])


def mirrored(images: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
    """Mirrors pictures `[n, H, W, 3]` where `which`, bool `[n]`, says so.

    Copies whole pictures of bytes: choosing by pixel took 4 ms a step.
    """
    count = tf.shape(images)[0]
    both = tf.concat([images, tf.reverse(images, [2])], axis=0)
    return tf.gather(both, tf.range(count) + count * tf.cast(which, tf.int32))


def _unit(bits: tf.Tensor) -> tf.Tensor:
    """The upper 24 of 32 bits as float32 in [0, 1), exactly."""
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * _ULP
