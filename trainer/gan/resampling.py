"""Moving pixels: shifts by whole pixels and affine maps, and their transposed maps.

Owns where each pixel of a transformed picture comes from. All maps are linear in the pictures;
who differentiates them is `trainer.gan.augment`.
"""

from typing import NamedTuple

import tensorflow as tf


def shifted(images: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Moves each picture by whole pixels; what comes in from outside is zero.

    The transposed map is that of `-moves`.

    Args:
        images: Float `[n, H, W, C]`.
        moves: int32 `[n, 2]`, down and to the right.
    """
    count, height, width, channels = images.shape
    down, right = (
        tf.range(side)[None] - moves[:, axis, None] for axis, side in enumerate((height, width))
    )
    within = ((down >= 0) & (down < height))[:, :, None] & ((right >= 0) & (right < width))[:, None]
    down, right = tf.clip_by_value(down, 0, height - 1), tf.clip_by_value(right, 0, width - 1)
    index = tf.reshape(down[:, :, None] * width + right[:, None], [count, -1])
    moved = tf.gather(tf.reshape(images, [count, -1, channels]), index, batch_dims=1)
    return tf.where(within[..., None], tf.reshape(moved, images.shape), tf.zeros((), images.dtype))


class Taps(NamedTuple):
    """Where each pixel comes from.

    Attributes:
        index: int32 `[n, 4, HH]`, the four pixels of its own picture, line by line.
        shares: Float `[n, 4, HH]`, their weights.
    """

    index: tf.Tensor
    shares: tf.Tensor


def taps(side: int, matrix: tf.Tensor, moves: tf.Tensor) -> Taps:
    """An affine map about the middle of a square picture, bilinear, mirrored at the borders.

    The pixel at place p, counted from the middle, comes from `matrix @ (p - moves)`.

    Args:
        side: Pixels.
        matrix: `[n, 2, 2]`, rows for down and to the right; float32 or float64, whatever the
            pictures are: half precision cannot tell neighbouring pixels apart.
        moves: `[n, 2]`, pixels, in the same precision.
    """
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
    return Taps(tf.reshape(index, flat), tf.reshape(shares, flat))


def _mirrored(places: tf.Tensor, side: int) -> tf.Tensor:
    """Places on an endless line of pictures, each the mirror image of the one before it."""
    along = tf.math.floormod(places + 0.5, 2.0 * side)
    folded = side - tf.abs(side - along) - 0.5
    return tf.clip_by_value(folded, 0.0, side - 1.0)


def gathered(images: tf.Tensor, tapped: Taps) -> tf.Tensor:
    """Each pixel of `[n, H, H, C]` as the sum of its shares of the pixels it comes from."""
    count, side, _, channels = images.shape
    pixels = tf.reshape(tf.cast(images, tapped.shares.dtype), [-1, channels])
    index = _in_the_batch(tapped.index, side)
    # Tap by tap, so that four pictures never stand in memory side by side.
    parts = [tapped.shares[:, tap, :, None] * tf.gather(pixels, index[:, tap]) for tap in range(4)]
    summed = (parts[0] + parts[1]) + (parts[2] + parts[3])
    return tf.cast(tf.reshape(summed, [count, side, side, channels]), images.dtype)


def scattered(images: tf.Tensor, tapped: Taps) -> tf.Tensor:
    """The transposed map of `gathered`: gives each pixel's shares to those it comes from.

    All four go to the place of the first, side by side, and from there to their own: what a
    scatter costs is the number of places that it goes to.
    """
    count, side, _, channels = images.shape
    pixels = tf.reshape(tf.cast(images, tapped.shares.dtype), [count, -1, channels])
    four = tf.concat([pixels * tapped.shares[:, tap, :, None] for tap in range(4)], axis=2)
    places = _in_the_batch(tapped.index[:, :1], side)
    summed = tf.math.unsorted_segment_sum(
        tf.reshape(four, [-1, 4 * channels]), tf.reshape(places, [-1]), count * side * side
    )
    here, beside, below, across = tf.split(tf.reshape(summed, [count, side, side, -1]), 4, axis=3)
    moved = (here + _moved(beside, 0, 1)) + (_moved(below, 1, 0) + _moved(across, 1, 1))
    return tf.cast(moved, images.dtype)


def _moved(images: tf.Tensor, down: int, right: int) -> tf.Tensor:
    """Shifts all pictures; nothing is lost, as no four begin in the last line or column."""
    _, height, width, _ = images.shape
    kept = images[:, : height - down, : width - right]
    return tf.pad(kept, [[0, 0], [down, 0], [right, 0], [0, 0]])


def _in_the_batch(index: tf.Tensor, side: int) -> tf.Tensor:
    """Pixels of each picture as pixels of all pictures, line by line."""
    return index + side * side * tf.range(index.shape[0])[:, None, None]
