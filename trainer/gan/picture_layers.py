"""Layers beside the picture whose CPU kernels are quick: Keras' own maths and weights.

Owns three layers that stand in for built-in ones inside a training step on a
CPU. oneDNN has no vector kernel for a convolution *to* three channels (the
picture), be it a generator's last layer or the gradient of a discriminator's
first: at 64 px and batch 64, 8 ms of a core where 3 are enough. Written as a
convolution to 2x2 blocks of pixels, twelve channels, it is an ordinary
product. Leaky ReLU's gradient is taken from its output, so that convolution,
bias and activation fuse and no pre-activation is kept.

All of it can be differentiated twice, for gradient penalties. Measured in
`benchmarks/step.py`; on GPUs, and in saved generators, the built-in layers stay.
"""

import keras
import tensorflow as tf

_BLOCK = 2


def _pixels_of_blocks(blocks: tf.Tensor, size_px: int) -> tf.Tensor:
    """`[n, h, w, 4c]` to `[n, size, size, c]`: blocks to pixels, the outermost lines cut off."""
    _, height, width, channels = blocks.shape
    few = channels // _BLOCK**2
    pairs = tf.reshape(blocks, [-1, height, width, _BLOCK, _BLOCK * few])
    rows = tf.transpose(pairs, [0, 1, 3, 2, 4])
    pixels = tf.reshape(rows, [-1, _BLOCK * height, _BLOCK * width, few])
    cut = (_BLOCK * height - size_px) // 2
    return pixels[:, cut:-cut, cut:-cut] if cut else pixels


def _blocks_at_stride_2(grid: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Transposed convolution at stride 2: an ordinary one of half the kernel, to blocks."""
    # In front, where "same" padding of an odd kernel is one line shorter.
    kernel = tf.pad(kernel, [[kernel.shape[0] % 2, 0]] * 2 + [[0, 0]] * 2)
    size, _, few, many = kernel.shape
    half = size // 2
    taps = tf.reshape(kernel, [half, _BLOCK, half, _BLOCK, few, many])
    turned = tf.reverse(tf.transpose(taps, [0, 2, 5, 1, 3, 4]), [0, 1])
    ordinary = tf.reshape(turned, [half, half, many, _BLOCK**2 * few])
    around = [half // 2] * 2
    return tf.nn.conv2d(grid, ordinary, 1, [[0, 0], around, around, [0, 0]])


def _blocks_at_stride_1(grid: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Transposed convolution at stride 1: one at stride 2 whose kernels stand on four pixels."""
    turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
    places = [(row, column) for row in range(_BLOCK) for column in range(_BLOCK)]
    placed = [tf.pad(turned, [[r, 1 - r], [c, 1 - c], [0, 0], [0, 0]]) for r, c in places]
    around = [kernel.shape[0] // 2] * 2
    return tf.nn.conv2d(grid, tf.concat(placed, 3), _BLOCK, [[0, 0], around, around, [0, 0]])


_BLOCKS = {1: _blocks_at_stride_1, 2: _blocks_at_stride_2}


def _kernel_gradient(pictures: tf.Tensor, grid: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    stride = pictures.shape[1] // grid.shape[1]
    return tf.raw_ops.Conv2DBackpropFilter(
        input=pictures,
        filter_sizes=kernel.shape,
        out_backprop=grid,
        strides=[1, stride, stride, 1],
        padding="SAME",
    )


def _channel_sums(pictures: tf.Tensor) -> tf.Tensor:
    """`[n, h, w, c]` to `[c]`; a sum over three channels alone fills no vector."""
    _, _, width, few = pictures.shape
    lines = tf.reduce_sum(tf.reshape(pictures, [-1, width * few]), 0)
    return tf.reduce_sum(tf.reshape(lines, [width, few]), 0)


@tf.custom_gradient
def to_pixels(grid: tf.Tensor, kernel: tf.Tensor):
    """Transposed convolution at stride 2 to few channels, "same" padding.

    Args:
        grid: `[n, h, h, o]`.
        kernel: `[4, 4, c, o]` or `[5, 5, c, o]`.

    Returns:
        `[n, 2h, 2h, c]`.
    """

    def gradient(upstream):
        return from_pixels(upstream, kernel), _kernel_gradient(upstream, grid, kernel)

    return _pixels_of_blocks(_blocks_at_stride_2(grid, kernel), 2 * grid.shape[1]), gradient


@tf.custom_gradient
def from_pixels(pictures: tf.Tensor, kernel: tf.Tensor):
    """Convolution of few channels at stride 2, "same" padding.

    Args:
        pictures: `[n, 2h, 2h, c]`.
        kernel: `[4, 4, c, o]` or `[5, 5, c, o]`.

    Returns:
        `[n, h, h, o]`.
    """

    def gradient(upstream):
        return to_pixels(upstream, kernel), _kernel_gradient(pictures, upstream, kernel)

    return tf.nn.conv2d(pictures, kernel, 2, "SAME"), gradient


class PictureConv2D(keras.layers.Conv2D):
    """`Conv2D(filters, 4 or 5, strides=2, padding="same")` on square pictures."""

    def convolution_op(self, inputs, kernel):
        """Keras' hook; see `from_pixels`."""
        return from_pixels(inputs, tf.convert_to_tensor(kernel))


class PictureConv2DTranspose(keras.layers.Conv2DTranspose):
    """`Conv2DTranspose(3, …, padding="same")` that draws square pictures of even size.

    4x4 or 5x5 kernels at stride 2, 3x3 or 5x5 kernels at stride 1.
    """

    def call(self, inputs):
        """Keras' hook."""
        stride = self.strides[0]

        @tf.custom_gradient
        def draw(grid, kernel, bias):
            # The bias is added to blocks, because twelve channels fill a vector.
            blocks = tf.nn.bias_add(_BLOCKS[stride](grid, kernel), tf.tile(bias, [_BLOCK**2]))

            def gradient(upstream):
                at_grid = tf.nn.conv2d(upstream, kernel, stride, "SAME")
                return at_grid, _kernel_gradient(upstream, grid, kernel), _channel_sums(upstream)

            return _pixels_of_blocks(blocks, stride * grid.shape[1]), gradient

        return draw(inputs, tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias))


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
