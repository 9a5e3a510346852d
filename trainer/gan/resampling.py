"""Moving pixels: shifts by whole pixels and affine maps, exact in their derivatives.

Owns where each pixel of a transformed picture comes from. Pictures are moved
linearly, so that a gradient is moved by the transposed map, to any order.
"""

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
        matrix: `[n, 2, 2]`, rows for down and to the right.
        moves: `[n, 2]`, pixels.
    """
    count, side, _, channels = images.shape
    from_middle = tf.range(side, dtype=images.dtype) - (side - 1) / 2
    places = tf.stack(tf.meshgrid(from_middle, from_middle, indexing="ij"), axis=-1)
    places = tf.reshape(places, [1, -1, 2]) - moves[:, None]
    sources = _mirrored(tf.matmul(places, matrix, transpose_b=True) + (side - 1) / 2, side)
    corners = tf.minimum(tf.floor(sources), side - 2)
    index = tf.cast(corners[..., 0] * side + corners[..., 1], tf.int32)
    down, right = tf.unstack((sources - corners)[..., None], axis=2)
    taps = tf.gather(_with_neighbours(images), index, batch_dims=1)
    here, beside, below, across = tf.split(taps, 4, axis=2)
    upper = here + right * (beside - here)
    lower = below + right * (across - below)
    return tf.reshape(upper + down * (lower - upper), [count, side, side, channels])


def _mirrored(places: tf.Tensor, side: int) -> tf.Tensor:
    """Places on an endless line of pictures, each the mirror image of the one before it."""
    along = tf.math.floormod(places + 0.5, 2.0 * side)
    folded = side - tf.abs(side - along) - 0.5
    return tf.clip_by_value(folded, 0.0, side - 1.0)


def _with_neighbours(images: tf.Tensor) -> tf.Tensor:
    """`[n, HW, 4C]`: each pixel, the one to its right, below, and below to the right.

    Taken together, a pixel is looked up once instead of four times.
    """
    count, height, width, channels = images.shape
    padded = tf.pad(images, [[0, 0], [0, 1], [0, 1], [0, 0]])
    parts = [padded[:, y : y + height, x : x + width] for y in (0, 1) for x in (0, 1)]
    return tf.reshape(tf.concat(parts, 3), [count, height * width, 4 * channels])
