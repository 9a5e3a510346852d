"""Moving pixels: shifts by whole pixels and affine maps, exact in their derivatives.

Owns where each pixel of a transformed picture comes from. Pictures are moved
linearly, so that a gradient is moved by the transposed map, to any order.
"""

from functools import partial

import tensorflow as tf


def shifted(images: tf.Tensor, moves: tf.Tensor, most: int) -> tf.Tensor:
    """Moves each picture by whole pixels; what comes in from outside is zero.

    Args:
        images: Float `[n, H, W, C]`.
        moves: int32 `[n, 2]`, down and to the right, each from `-most` to `most`.
        most: Pixels.
    """

    @tf.custom_gradient
    def move(pictures: tf.Tensor):
        # A picture is moved back by the transposed map.
        return _windows(pictures, most - moves, most), lambda up: shifted(up, -moves, most)

    return move(images)


def _windows(images: tf.Tensor, begins: tf.Tensor, around: int) -> tf.Tensor:
    """The window of each picture's own size that begins at `begins` `[n, 2]` of the padded one."""
    count, height, width, channels = images.shape
    padded = tf.pad(images, [[0, 0], [around, around], [around, around], [0, 0]])
    line = width + 2 * around
    inner = line * tf.range(height)[:, None] + tf.range(width)
    index = (line * begins[:, 0] + begins[:, 1])[:, None] + tf.reshape(inner, [-1])
    flat = tf.reshape(padded, [count, -1, channels])
    return tf.reshape(tf.gather(flat, index, batch_dims=1), images.shape)


def sampled(images: tf.Tensor, matrix: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Maps each picture about its middle, bilinearly, mirrored at the borders.

    The pixel at place p, counted from the middle, comes from `matrix @ (p - moves)`.

    Args:
        images: Float `[n, H, H, C]`.
        matrix: `[n, 2, 2]`, rows for down and to the right; float32 or float64, whatever the
            pictures are: half precision cannot tell neighbouring pixels apart.
        moves: `[n, 2]`, pixels, in the same precision.
    """
    index, shares = _taps(images.shape[1], matrix, moves)
    return _gathered(images, index, tf.cast(shares, images.dtype))


def _taps(side: int, matrix: tf.Tensor, moves: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The four pixels that each one comes from, int32 `[n, 4, HH]`, and their shares."""
    from_middle = tf.range(side, dtype=matrix.dtype) - (side - 1) / 2
    down, right = (from_middle - moves[:, axis, None] for axis in (0, 1))
    corners, beyond = [], []
    for axis in (0, 1):
        along_down = (matrix[:, axis, 0, None] * down)[:, :, None]
        along_right = (matrix[:, axis, 1, None] * right)[:, None, :]
        source = _mirrored(along_down + along_right + (side - 1) / 2, side)
        corners.append(tf.minimum(tf.floor(source), side - 2))
        beyond.append(source - corners[-1])
    first = tf.cast(corners[0] * side + corners[1], tf.int32)
    below, beside = beyond
    above, here = 1.0 - below, 1.0 - beside
    shares = tf.stack([above * here, above * beside, below * here, below * beside], 1)
    index = tf.stack([first, first + 1, first + side, first + side + 1], 1)
    flat = [first.shape[0], 4, side * side]
    return tf.reshape(index, flat), tf.reshape(shares, flat)


def _gathered(images: tf.Tensor, index: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Each pixel as the sum of its `shares` of the pixels at `index`, both `[n, 4, HW]`."""
    count, height, width, channels = images.shape

    @tf.custom_gradient
    def gather(pictures: tf.Tensor):
        begins = height * width * tf.range(count)[:, None, None]
        taps = tf.gather(tf.reshape(pictures, [-1, channels]), begins + index)
        summed = tf.reduce_sum(shares[..., None] * taps, axis=1)
        back = partial(_scattered, index=index, shares=shares)
        return tf.reshape(summed, pictures.shape), back

    return gather(images)


def _scattered(images: tf.Tensor, index: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """The transposed map of `_gathered`: adds `shares` of each pixel to those at `index`."""
    count, height, width, channels = images.shape

    @tf.custom_gradient
    def scatter(pictures: tf.Tensor):
        planes = tf.transpose(tf.reshape(pictures, [count, -1, channels]), [0, 2, 1])
        parts = tf.reshape(planes[:, :, None] * shares[:, None], [count * channels, -1])
        places = tf.reshape(tf.repeat(index[:, None], channels, 1), [count * channels, -1])
        planes = tf.reshape(_sums(parts, places, height * width), [count, channels, -1])
        summed = tf.reshape(tf.transpose(planes, [0, 2, 1]), pictures.shape)
        return summed, partial(_gathered, index=index, shares=shares)

    return scatter(images)


def _sums(parts: tf.Tensor, places: tf.Tensor, size: int) -> tf.Tensor:
    """`[rows, size]`: in each row the sums of the `parts` that have the same of `places`."""
    if tf.config.get_visible_devices("GPU"):
        rows = parts.shape[0]
        flat = tf.reshape(places + size * tf.range(rows)[:, None], [-1])
        return tf.math.unsorted_segment_sum(tf.reshape(parts, [-1]), flat, rows * size)
    # On a CPU a fifth of the time of a segment sum; it knows no half precision.
    weights = tf.cast(parts, tf.float64 if parts.dtype == tf.float64 else tf.float32)
    sums = tf.raw_ops.DenseBincount(input=places, size=size, weights=weights)
    return tf.cast(sums, parts.dtype)


def _mirrored(places: tf.Tensor, side: int) -> tf.Tensor:
    """Places on an endless line of pictures, each the mirror image of the one before it."""
    along = tf.math.floormod(places + 0.5, 2.0 * side)
    folded = side - tf.abs(side - along) - 0.5
    return tf.clip_by_value(folded, 0.0, side - 1.0)
