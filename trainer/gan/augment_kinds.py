"""What an augmented picture has gone through: the transformations, each linear in the picture.

Colour, translation and cutout: Zhao et al. 2020 (DiffAugment), section 3.
Geometric: Karras et al. 2020 (ADA), appendix B, without quarter turns, which
show a cat no camera sees, and with bilinear sampling. Each transformation is
applied to a picture with probability `strength`, as ADA does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.gan.resampling import Taps, gathered, scattered, shifted, taps

# Share of the side that a picture is moved at most, and that is cut out.
_SHIFT, _HOLE = 0.125, 0.5
_SCALE_STDDEV, _MOVE_STDDEV = 0.2, 0.125


@dataclass(frozen=True)
class Kind:
    """One kind of augmentation: `linear(images) + constant`.

    Attributes:
        uniforms: Numbers that it draws for each picture, uniform in [0, 1).
        settled: `(numbers [n, uniforms, and normal ones], strength, side in pixels)` to what the
            other functions are told.
        linear: `(images [n, H, H, 3], settled) -> images`.
        transposed: The transposed map of `linear`, likewise.
        mixes: Whether a number of the result comes from several, at one place or overall.
        constant: `settled -> [n, 1, 1, 1]`, or None: nothing is added.
        normals: Numbers that it draws from a normal distribution.
    """

    uniforms: int
    settled: Callable[[tf.Tensor, tf.Tensor, int], Any]
    linear: Callable[[tf.Tensor, Any], tf.Tensor]
    transposed: Callable[[tf.Tensor, Any], tf.Tensor]
    mixes: bool = False
    constant: Callable[[Any], tf.Tensor] | None = None
    normals: int = 0

    @property
    def is_warp(self) -> bool:
        """Whether pixels move by fractions; it alone draws normal numbers."""
        return self.normals > 0


def _where(gates: tf.Tensor, strength: tf.Tensor, value: tf.Tensor, identity: float) -> tf.Tensor:
    """`value` `[n]` for the rows whose gate is open, else what changes nothing."""
    return tf.where(gates < strength, value, tf.constant(identity, value.dtype))


def _between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + (high - low) * uniform


def _per_picture(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]


def _colours(numbers: tf.Tensor, strength: tf.Tensor, side: int) -> tuple[tf.Tensor, ...]:
    """Brightness in ±0.5, saturation in [0, 2], contrast in [0.5, 1.5] about the picture's mean.

    One after the other they are one affine map of a pixel's colours: its own, its grey, the
    picture's mean, and a constant, each times one of these four `[n, 1, 1, 1]`.
    """
    gates, values = tf.unstack(numbers[:, :3], axis=1), tf.unstack(numbers[:, 3:], axis=1)
    brightness = _where(gates[0], strength, _between(values[0], -0.5, 0.5), 0.0)
    saturation = _where(gates[1], strength, _between(values[1], 0.0, 2.0), 1.0)
    contrast = _where(gates[2], strength, _between(values[2], 0.5, 1.5), 1.0)
    parts = contrast * saturation, contrast * (1.0 - saturation), 1.0 - contrast, brightness
    return tuple(map(_per_picture, parts))


def _recoloured(images: tf.Tensor, colours: tuple[tf.Tensor, ...]) -> tf.Tensor:
    """Symmetric in the pixels, so the transposed map is the map itself."""
    own, shared, overall, _ = colours
    red, green, blue = tf.unstack(images, axis=3)
    grey = (red + green + blue)[..., None] * (shared / 3.0)
    mean = tf.reduce_mean(tf.reshape(images, [images.shape[0], -1]), axis=1)
    return own * images + (grey + overall * _per_picture(mean))


def _moves(numbers: tf.Tensor, strength: tf.Tensor, side: int) -> tf.Tensor:
    """By whole pixels, an eighth of the side at most."""
    most = int(side * _SHIFT + 0.5)
    moves = tf.floor(numbers[:, 1:] * (2 * most + 1)) - most
    moves = tf.where(numbers[:, :1] < strength, moves, tf.zeros_like(moves))
    return tf.cast(moves, tf.int32)


def _hole(numbers: tf.Tensor, strength: tf.Tensor, side: int) -> tf.Tensor:
    """A square of half the side, its middle anywhere; bool `[n, H, H, 1]`."""
    hole = int(side * _HOLE + 0.5)
    middles = tf.floor(numbers[:, 1:] * (side + 1 - hole % 2))
    pixels = tf.range(side, dtype=numbers.dtype)
    begins = middles[:, :, None] - hole // 2
    inside = (pixels >= begins) & (pixels < begins + hole)
    inside &= (numbers[:, :1] < strength)[:, :, None]
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[..., None]


def _hidden(images: tf.Tensor, hole: tf.Tensor) -> tf.Tensor:
    """Grey in the hole; its own transposed map."""
    return tf.where(hole, tf.zeros((), images.dtype), images)


def _warp(numbers: tf.Tensor, strength: tf.Tensor, side: int) -> Taps:
    """Scaled, turned, stretched, turned again, moved; mirrored at the borders."""
    gates, angles = tf.unstack(numbers[:, :5], axis=1), tf.unstack(numbers[:, 5:7], axis=1)
    normals = tf.unstack(numbers[:, 7:], axis=1)
    scale = _where(gates[0], strength, 2.0 ** (_SCALE_STDDEV * normals[0]), 1.0)
    stretch = _where(gates[1], strength, 2.0 ** (_SCALE_STDDEV * normals[1]), 1.0)
    # Two turns, so that a picture is turned at all with the probability `strength`.
    once = 1.0 - tf.sqrt(1.0 - strength)
    turns = [
        _where(gate, once, _between(angle, -math.pi, math.pi), 0.0)
        for gate, angle in zip(gates[2:4], angles, strict=True)
    ]
    moves = [_where(gates[4], strength, _MOVE_STDDEV * n, 0.0) for n in normals[2:]]
    zero = tf.zeros_like(scale)
    matrix = _rotation(turns[1]) @ _matrix(stretch, zero, zero, 1.0 / stretch)
    matrix = matrix @ _rotation(turns[0]) * scale[:, None, None]
    return taps(side, matrix, tf.stack(moves, axis=1) * side)


def _matrix(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.stack([a, b], 1), tf.stack([c, d], 1)], 1)


def _rotation(angles: tf.Tensor) -> tf.Tensor:
    cos, sin = tf.cos(angles), tf.sin(angles)
    return _matrix(cos, -sin, sin, cos)


# In the order of the papers: where pixels are, then what they are.
KINDS: dict[str, Kind] = {
    "geometric": Kind(7, _warp, gathered, scattered, normals=4),
    "colour": Kind(6, _colours, _recoloured, _recoloured, mixes=True, constant=lambda c: c[3]),
    "translation": Kind(3, _moves, shifted, lambda images, moves: shifted(images, -moves)),
    "cutout": Kind(3, _hole, _hidden, _hidden),
}
