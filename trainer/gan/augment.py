"""Differentiable augmentation of what the discriminator sees.

Owns the transformations of a batch and what they draw. Does not own how strong
they are, which the config's schedule says. Both networks learn
through them, and gradient penalties through both, so all of it can be
differentiated twice.

Colour, translation and cutout: Zhao et al. 2020 (DiffAugment), section 3.
Geometric: Karras et al. 2020 (ADA), appendix B, without quarter turns, which
show a cat no camera sees, and with bilinear sampling. Each transformation is
applied to a picture with probability `strength`, as ADA does.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import tensorflow as tf

from trainer.gan.draws import Draws
from trainer.gan.resampling import sampled, shifted

# Share of the side that a picture is moved at most, and that is cut out.
_SHIFT, _HOLE = 0.125, 0.5
_SCALE_STDDEV, _MOVE_STDDEV = 0.2, 0.125


class Augmentation:
    """Transforms pictures by numbers drawn beforehand, row by row.

    Args:
        kinds: Of `colour`, `translation`, `cutout`, `geometric`.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        # The order of the papers, whatever the config's: where pixels are, then what they are.
        self._kinds = [name for name in _KINDS if name in kinds]
        self._counts = [_KINDS[name][0] for name in self._kinds]

    def draw(self, draws: Draws, purpose: str, step: tf.Tensor, update: int = 0) -> tf.Tensor:
        """Returns this worker's numbers for one batch, float32 `[n, numbers]`."""
        uniforms = draws.uniform(f"augment/{purpose}", step, [sum(self._counts)], update)
        if "geometric" not in self._kinds:
            return uniforms
        normals = draws.normal(f"augment/{purpose}/normal", step, [_NORMALS], update)
        return tf.concat([uniforms, normals], 1)

    def __call__(
        self, images: tf.Tensor, numbers: tf.Tensor | None, strength: tf.Tensor
    ) -> tf.Tensor:
        """Returns the transformed pictures.

        Args:
            images: Float `[n, H, H, 3]`, in about [-1, 1]; results may leave it.
            numbers: From `draw`, for the same rows; None: the pictures stay as they are.
            strength: Probability of each transformation, scalar in [0, 1].
        """
        if not self._kinds or numbers is None:
            return images
        uniforms = tf.split(numbers, [*self._counts, -1], axis=1)
        normals = uniforms.pop()
        for name, own in zip(self._kinds, uniforms, strict=True):
            dtype = images.dtype
            if name == "geometric":
                own = tf.concat([own, normals], 1)
                # Half precision cannot tell neighbouring pixels apart.
                dtype = tf.float64 if dtype == tf.float64 else tf.float32
            images = _KINDS[name][1](images, tf.cast(own, dtype), tf.cast(strength, dtype))
        return images


def _where(gates: tf.Tensor, strength: tf.Tensor, value: tf.Tensor, identity: float) -> tf.Tensor:
    """`value` `[n]` for the rows whose gate is open, else what changes nothing."""
    return tf.where(gates < strength, value, tf.constant(identity, value.dtype))


def _between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + (high - low) * uniform


def _per_picture(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]


def _colour(images: tf.Tensor, numbers: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Brightness in ±0.5, saturation in [0, 2], contrast in [0.5, 1.5] about the picture's mean."""
    gates, values = tf.unstack(numbers[:, :3], axis=1), tf.unstack(numbers[:, 3:], axis=1)
    brightness = _where(gates[0], strength, _between(values[0], -0.5, 0.5), 0.0)
    saturation = _where(gates[1], strength, _between(values[1], 0.0, 2.0), 1.0)
    contrast = _where(gates[2], strength, _between(values[2], 0.5, 1.5), 1.0)
    # One after the other they are one affine map of a pixel's colours.
    own, shared = contrast * saturation, contrast * (1.0 - saturation)
    return _recoloured(images, own, shared, 1.0 - contrast) + _per_picture(brightness)


def _recoloured(
    images: tf.Tensor, own: tf.Tensor, shared: tf.Tensor, overall: tf.Tensor
) -> tf.Tensor:
    """`own` of each picture, plus `shared` of each pixel's grey, plus `overall` of its mean."""

    @tf.custom_gradient
    def recolour(pictures: tf.Tensor):
        red, green, blue = tf.unstack(pictures, axis=3)
        grey = (red + green + blue)[..., None] * _per_picture(shared / 3.0)
        numbers = tf.reshape(pictures, [pictures.shape[0], -1])
        mean = overall * tf.reduce_mean(numbers, axis=1)
        # All three parts are symmetric in the pixels, so the transposed map is the map itself.
        back = partial(_recoloured, own=own, shared=shared, overall=overall)
        return _per_picture(own) * pictures + (grey + _per_picture(mean)), back

    return recolour(images)


def _translation(images: tf.Tensor, numbers: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moved by whole pixels, an eighth of the side at most, black behind."""
    most = int(images.shape[1] * _SHIFT + 0.5)
    moves = tf.floor(numbers[:, 1:] * (2 * most + 1)) - most
    moves = tf.where(numbers[:, :1] < strength, moves, tf.zeros_like(moves))
    return shifted(images, tf.cast(moves, tf.int32), most)


def _cutout(images: tf.Tensor, numbers: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """A square of half the side, its middle anywhere, is grey."""
    side = images.shape[1]
    hole = int(side * _HOLE + 0.5)
    middles = tf.floor(numbers[:, 1:] * (side + 1 - hole % 2))
    pixels = tf.range(side, dtype=images.dtype)
    begins = middles[:, :, None] - hole // 2
    inside = (pixels >= begins) & (pixels < begins + hole)
    inside &= (numbers[:, :1] < strength)[:, :, None]
    hidden = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images * tf.cast(~hidden, images.dtype)[..., None]


def _geometric(images: tf.Tensor, numbers: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
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
    return sampled(images, matrix, tf.stack(moves, axis=1) * images.shape[1])


def _matrix(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.stack([a, b], 1), tf.stack([c, d], 1)], 1)


def _rotation(angles: tf.Tensor) -> tf.Tensor:
    cos, sin = tf.cos(angles), tf.sin(angles)
    return _matrix(cos, -sin, sin, cos)


# Numbers that the geometric set draws from a normal distribution.
_NORMALS = 4
# Uniform numbers of each, and what it does with them.
_KINDS: dict[str, tuple[int, Callable[..., tf.Tensor]]] = {
    "geometric": (7, _geometric),
    "colour": (6, _colour),
    "translation": (3, _translation),
    "cutout": (3, _cutout),
}
