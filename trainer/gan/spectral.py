"""Spectral normalisation of a discriminator's layers (Miyato et al. 2018).

Owns layers that use W / sigma(W) in place of their kernel W, which is left as it is: sigma is
the largest singular value, held as u'Wv by two vectors of each layer (algorithm 1 of the paper).
The vectors are state, part of the checkpoint, and begin after one power iteration. `iterate`
makes one more; a step calls it once for each update of D, so that they do not depend on how often
D was asked.
The gradient goes through the kernel both in W and in sigma, u and v constant (eq. 10).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

_TINY = 1e-12


class Spectral(layers.Layer):
    """Mixed into a layer that has a kernel; see the module."""

    use_bias: bool
    bias: Any
    kernel_initializer: Any
    _kernel: Any
    _left: Any
    _right: Any

    def add_weight(self, *args: Any, **options: Any) -> keras.Variable:
        """Keras' own, but for handing weights over in half precision: sigma needs all of it."""
        return super().add_weight(*args, **{**options, "autocast": False})

    def build(self, input_shape: Any) -> None:
        """Keras' own, and the two vectors."""
        super().build(input_shape)
        outside = self._kernel.shape[-1]
        inside = int(np.prod(self._kernel.shape[:-1]))
        seed = getattr(self.kernel_initializer, "seed", 0)
        # Vectors that belong together: sigma of two random ones may be zero or less.
        matrix = np.reshape(ops.convert_to_numpy(self._kernel), (inside, outside))
        left = np.random.Generator(np.random.Philox(key=(int(seed), outside))).random(outside)
        right = _unit_length(matrix @ (left - 0.5))
        left = _unit_length(right @ matrix)
        for name, begun in (("left", left), ("right", right)):
            vector = self.add_weight(
                name=f"spectral_{name}",
                shape=begun.shape,
                initializer=keras.initializers.Constant(begun),
                trainable=False,
            )
            setattr(self, f"_{name}", vector)

    def iterate(self, local: Callable[[keras.Variable], tf.Variable]) -> None:
        """One power iteration: v from W'u, then u from Wv, each of length one."""
        left, right = local(self._left), local(self._right)
        matrix = tf.reshape(local(self._kernel), [-1, left.shape[0]])
        new_right = _unit(tf.linalg.matvec(matrix, left))
        new_left = _unit(tf.linalg.matvec(matrix, new_right, transpose_a=True))
        right.assign(new_right)
        left.assign(new_left)

    def _normed_kernel(self) -> Any:
        kernel = ops.convert_to_tensor(self._kernel)
        left = ops.convert_to_tensor(self._left)
        right = ops.convert_to_tensor(self._right)
        matrix = ops.reshape(kernel, (-1, left.shape[0]))
        sigma = ops.maximum(ops.sum(right * ops.matmul(matrix, left)), _TINY)
        return ops.cast(kernel / sigma, self.compute_dtype)

    def _with_bias(self, outputs: Any) -> Any:
        if self.use_bias:
            outputs = outputs + ops.cast(ops.convert_to_tensor(self.bias), self.compute_dtype)
        return outputs


class SpectralConv2D(Spectral, layers.Conv2D):
    """A convolution by W / sigma(W), W as a matrix of all a filter sees by filters."""

    def call(self, inputs: Any) -> Any:
        """Takes `[n, H, W, in]`."""
        return self._with_bias(self.convolution_op(inputs, self._normed_kernel()))


class SpectralDense(Spectral, layers.Dense):
    """A product with W / sigma(W)."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Takes `[n, in]`."""
        return self._with_bias(ops.matmul(inputs, self._normed_kernel()))


def iterate(network: keras.Model, local: Callable[[keras.Variable], tf.Variable]) -> None:
    """One power iteration for every layer of a network that has spectral normalisation.

    Args:
        network: May have none.
        local: This replica's copy of a variable; all replicas have the same kernels and so come
            to the same vectors.
    """
    for layer in network.layers:
        if isinstance(layer, Spectral):
            layer.iterate(local)


def _unit_length(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), _TINY)


def _unit(vector: tf.Tensor) -> tf.Tensor:
    return vector / tf.maximum(tf.norm(vector), tf.constant(_TINY, vector.dtype))
