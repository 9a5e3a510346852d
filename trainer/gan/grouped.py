"""A grouped convolution that TensorFlow runs itself.

Owns one layer that stands in for Keras' own while training. Keras 3.15 hands every grouped
convolution to XLA, one by one: a step of an R3GAN at 32 px took 25 s on two cores where 0.5 s
are enough. TensorFlow's own kernels know groups, and gradients of gradients of them; on a CPU
in two precisions only, the others stay with Keras there. A saved generator has the built-in
layer, whose weights are the same.
"""

from typing import Any

import tensorflow as tf
from keras import layers

_ON_CPU = (tf.float32, tf.bfloat16)


class GroupedConv2D(layers.Conv2D):
    """`Conv2D` with `groups`, channels last."""

    stands_for = layers.Conv2D

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Takes `[n, H, W, in]` and a kernel `[kh, kw, in / groups, out]`."""
        if inputs.dtype in _ON_CPU or tf.config.get_visible_devices("GPU"):
            return tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper())
        return super().convolution_op(inputs, kernel)
