"""Stride-2 layers beside the picture whose CPU kernels are quick: Keras' own maths and weights.

Owns three layers that stand in for built-in ones inside a training step on a
CPU. oneDNN has no vector kernel for the gradient of a convolution at an input
of three channels (the picture): 8 ms of a core where 3 are enough, at 64 px
and batch 64. Written as a stride-1 convolution to 2x2 blocks of pixels it is
an ordinary product. Leaky ReLU's gradient is taken from its output, so that
convolution, bias and activation fuse and no pre-activation is kept.

All of it can be differentiated twice, for gradient penalties. Measured in
`benchmarks/step.py`; on GPUs, and in saved generators, the built-in layers stay.
"""

import keras
import tensorflow as tf


def _block_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """`[4, 4, c, o]` at stride 2 to `[2, 2, o, 4c]` at stride 1."""
    size, _, few, many = kernel.shape
    half = size // 2
    taps = tf.reshape(kernel, [half, 2, half, 2, few, many])
    blocks = tf.reverse(tf.transpose(taps, [0, 2, 5, 1, 3, 4]), [0, 1])
    return tf.reshape(blocks, [half, half, many, 4 * few])


def _unblock(blocks: tf.Tensor, few: int) -> tf.Tensor:
    """`[n, h, w, 4c]` to `[n, 2h - 2, 2w - 2, c]`: the outermost line is cut off."""
    _, height, width, _ = blocks.shape
    rows = tf.transpose(tf.reshape(blocks, [-1, height, width, 2, 2 * few]), [0, 1, 3, 2, 4])
    return tf.reshape(rows, [-1, 2 * height, 2 * width, few])[:, 1:-1, 1:-1]


def _kernel_gradient(pictures: tf.Tensor, grid: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.Conv2DBackpropFilter(
        input=pictures,
        filter_sizes=kernel.shape,
        out_backprop=grid,
        strides=[1, 2, 2, 1],
        padding="SAME",
    )


@tf.custom_gradient
def to_pixels(grid: tf.Tensor, kernel: tf.Tensor):
    """Transposed 4x4 convolution at stride 2 to few channels.

    Args:
        grid: `[n, h, w, o]`.
        kernel: `[4, 4, c, o]`.

    Returns:
        `[n, 2h, 2w, c]`.
    """
    padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
    blocks = tf.nn.conv2d(grid, _block_kernel(kernel), 1, padding)

    def gradient(upstream):
        return from_pixels(upstream, kernel), _kernel_gradient(upstream, grid, kernel)

    return _unblock(blocks, kernel.shape[2]), gradient


@tf.custom_gradient
def from_pixels(pictures: tf.Tensor, kernel: tf.Tensor):
    """4x4 convolution of few channels at stride 2.

    Args:
        pictures: `[n, 2h, 2w, c]`.
        kernel: `[4, 4, c, o]`.

    Returns:
        `[n, h, w, o]`.
    """

    def gradient(upstream):
        return to_pixels(upstream, kernel), _kernel_gradient(pictures, upstream, kernel)

    return tf.nn.conv2d(pictures, kernel, 2, "SAME"), gradient


class PictureConv2D(keras.layers.Conv2D):
    """`Conv2D(filters, 4, strides=2, padding="same")` on pictures."""

    def convolution_op(self, inputs, kernel):
        """Keras' hook; see `from_pixels`."""
        return from_pixels(inputs, tf.convert_to_tensor(kernel))


class PictureConv2DTranspose(keras.layers.Conv2DTranspose):
    """`Conv2DTranspose(3, 4, strides=2, padding="same")` that draws pictures."""

    def call(self, inputs):
        """Keras' hook; see `to_pixels`."""
        pictures = to_pixels(inputs, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(pictures, tf.convert_to_tensor(self.bias))


class OutputLeakyReLU(keras.layers.LeakyReLU):
    """`LeakyReLU` whose gradient needs its output only."""

    def call(self, inputs):
        """Keras' hook."""
        slope = float(self.negative_slope)

        @tf.custom_gradient
        def leaky(x):
            y = tf.nn.leaky_relu(x, slope)

            def gradient(upstream):
                features = tf.stop_gradient(y)
                return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=features, alpha=slope)

            return y, gradient

        return leaky(inputs)
