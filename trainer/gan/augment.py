"""Differentiable augmentation of what the discriminator sees.

Owns what a batch's augmentation draws, and its derivatives: both networks learn through it, and
gradient penalties through both. Does not own what the kinds do (`trainer.gan.augment_kinds`), nor
how strong they are, which the config's schedule or `trainer.gan.adaptive` says.
"""

import functools
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, groupby

import tensorflow as tf

from trainer.gan.augment_kinds import KINDS, Kind
from trainer.gan.draws import Draws
from trainer.gan.fused import fused

# A kind, and which of its chain's numbers are its own.
_Link = tuple[Kind, slice]


class Augmentation:
    """Transforms pictures by numbers drawn beforehand, row by row.

    Args:
        kinds: Of `colour`, `translation`, `cutout`, `geometric`; their order does not matter.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = [kind for name, kind in KINDS.items() if name in kinds]
        self._normals = sum(kind.normals for kind in self._kinds)
        self._chains = list(map(_chain, _grouped(self._kinds)))

    def draw(self, draws: Draws, purpose: str, step: tf.Tensor, variant: int = 0) -> tf.Tensor:
        """Returns this worker's numbers for one batch, float32 `[n, numbers]`."""
        count = sum(kind.uniforms for kind in self._kinds)
        uniforms = draws.uniform(f"augment/{purpose}", step, [count], variant)
        if not self._normals:
            return uniforms
        normals = draws.normal(f"augment/{purpose}/normal", step, [self._normals], variant)
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
        for chain, own in zip(self._chains, self._dealt(numbers), strict=True):
            dtype = images.dtype
            if chain.is_warp:
                # Half precision cannot tell neighbouring pixels apart.
                dtype = tf.float64 if dtype == tf.float64 else tf.float32
            images = chain(images, tf.cast(own, dtype), tf.cast(strength, dtype))
        return images

    def _dealt(self, numbers: tf.Tensor) -> list[tf.Tensor]:
        """Each chain's numbers; normal ones stand behind all uniform ones."""
        *uniforms, normals = tf.split(
            numbers, [*(chain.uniforms for chain in self._chains), self._normals], axis=1
        )
        return [
            tf.concat([own, normals], 1) if chain.is_warp else own
            for chain, own in zip(self._chains, uniforms, strict=True)
        ]


def _grouped(kinds: Sequence[Kind]) -> Iterator[tuple[Kind, ...]]:
    """Yields the kinds of each chain: those that move pixels by fractions, and the others.

    What is compiled with a warp would be computed again for each of the pixels that it mixes.
    """
    for _, group in groupby(kinds, key=lambda kind: kind.is_warp):
        yield tuple(group)


@functools.cache
def _chain(kinds: tuple[Kind, ...]) -> "_Chain":
    """One for all models of a process: it has no state, and compiling it takes a while."""
    return _Chain(kinds)


class _Chain:
    """Several kinds one after the other: a linear map and a constant.

    The derivative of the whole is the transposed map, whose own is the linear map, and so on.

    Attributes:
        uniforms: Numbers of all kinds together.
        is_warp: Whether it moves pixels by fractions.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.uniforms = sum(kind.uniforms for kind in kinds)
        self.is_warp = any(kind.is_warp for kind in kinds)
        ends = list(accumulate(kind.uniforms + kind.normals for kind in kinds))
        self._links = [
            (kind, slice(*ends)) for kind, *ends in zip(kinds, [0, *ends], ends, strict=False)
        ]
        self._whole, self._linear = fused(self._run_whole), fused(self._run_linear)
        # Compiled with what comes before them, colours would compute that again for each number
        # that they mix.
        alike = groupby(self._links, key=lambda link: link[0].mixes)
        transposed = [fused(partial(_run_transposed, list(links))) for _, links in alike]
        self._transposed = transposed[::-1]

    def __call__(self, images: tf.Tensor, *drawn: tf.Tensor) -> tf.Tensor:
        """`drawn`: numbers `[n, …]` and strength."""

        @tf.custom_gradient
        def forth(pictures):
            return self._whole(pictures, *drawn), lambda up: self._back(up, *drawn)

        return forth(images)

    def _forth(self, images: tf.Tensor, *drawn: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def forth(pictures):
            return self._linear(pictures, *drawn), lambda up: self._back(up, *drawn)

        return forth(images)

    def _back(self, images: tf.Tensor, *drawn: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def back(pictures):
            for transposed in self._transposed:
                pictures = transposed(pictures, *drawn)
            return pictures, lambda up: self._forth(up, *drawn)

        return back(images)

    def _run_whole(self, images, numbers, strength):
        for kind, settled in _settled(self._links, images, numbers, strength):
            images = kind.linear(images, settled)
            if kind.constant:
                images += kind.constant(settled)
        return images

    def _run_linear(self, images, numbers, strength):
        for kind, settled in _settled(self._links, images, numbers, strength):
            images = kind.linear(images, settled)
        return images


def _run_transposed(links, images, numbers, strength):
    for kind, settled in reversed(_settled(links, images, numbers, strength)):
        images = kind.transposed(images, settled)
    return images


def _settled(links: Sequence[_Link], images, numbers, strength):
    return [
        (kind, kind.settled(numbers[:, place], strength, images.shape[1])) for kind, place in links
    ]
