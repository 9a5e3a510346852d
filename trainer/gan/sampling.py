"""Seeds to latents, latents to pictures, pictures to PNG.

Owns what a picture's seed means and in what batch shape pictures are drawn, so
that a seed gives the same bytes whatever is drawn beside it. Knows nothing of
runs, files or training; the generator is handed in.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from trainer.errors import ConfigError
from trainer.seeds import random_bits

# Floating-point results depend on the batch's shape, so there is only one.
DRAW_BATCH = 16

# Below this a redraw keeps one number in 25 or fewer, and all pictures look alike.
MIN_TRUNCATION = 0.05

_PURPOSE = "picture latents"


def latents_from_seeds(
    seeds: Sequence[int] | np.ndarray,
    latent_dim: int,
    distribution: str = "normal",
    *,
    truncation: float | None = None,
) -> np.ndarray:
    """Draws one latent vector for each seed; a seed alone decides its vector.

    Args:
        seeds: Integers `[n]`.
        latent_dim: Numbers in a vector.
        distribution: `normal` for normal(0, 1), `uniform` for uniform(-1, 1).
        truncation: Normal latents only: numbers beyond plus or minus this are
            drawn again. None, or a number too large to matter, draws them once.

    Returns:
        float32 `[n, latent_dim]`.

    Raises:
        ConfigError: For an unknown distribution, a truncation of uniform latents
            or one below 0.05.
    """
    check_truncation(truncation, distribution)
    rows = [_latent(int(seed), latent_dim, distribution, truncation) for seed in seeds]
    return np.array(rows, np.float32).reshape(len(rows), latent_dim)


def check_truncation(truncation: float | None, distribution: str) -> None:
    """Raises ConfigError where `latents_from_seeds` would."""
    if distribution not in ("normal", "uniform"):
        raise ConfigError(f"latent distribution {distribution!r}", expected="normal or uniform")
    if truncation is None:
        return
    if distribution == "uniform":
        raise ConfigError(
            f"truncation {truncation:g} of uniform latents",
            expected="truncation of normal latents only: uniform ones have no tails to cut",
            remedy="leave --truncation out for this generator",
        )
    if not truncation >= MIN_TRUNCATION:
        raise ConfigError(
            f"truncation {truncation:g}",
            expected=f"a number of {MIN_TRUNCATION} or more; 2 cuts little, 0.5 much",
            remedy="use for example --truncation 1.0",
        )


def _latent(seed: int, dim: int, distribution: str, truncation: float | None) -> np.ndarray:
    if distribution == "uniform":
        return 2.0 * _unit(random_bits(dim, seed, _PURPOSE)) - 1.0
    values = _normal(dim, seed, 0)
    attempt = 0
    while truncation is not None and (outside := np.abs(values) > truncation).any():
        attempt += 1
        values[outside] = _normal(dim, seed, attempt)[outside]
    return values


def _normal(count: int, seed: int, attempt: int) -> np.ndarray:
    """Box and Muller's transform of raw Philox bits; float64 `[count]`."""
    pairs = (count + 1) // 2
    unit = _unit(random_bits(2 * pairs, seed, _PURPOSE, attempt))
    radius = np.sqrt(-2.0 * np.log1p(-unit[:pairs]))
    angle = 2.0 * np.pi * unit[pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def _unit(bits: np.ndarray) -> np.ndarray:
    """uint64 to float64 in [0, 1), 53 bits each."""
    return (bits >> np.uint64(11)) * 2.0**-53


def interpolate(
    first: np.ndarray, last: np.ndarray, fractions: Sequence[float] | np.ndarray, distribution: str
) -> np.ndarray:
    """Returns the latents between two, float32 `[len(fractions), latent_dim]`.

    Spherical for normal latents, whose length is nearly fixed; linear for
    uniform ones, whose cube a sphere would leave.

    Args:
        first: float `[latent_dim]`, at fraction 0.
        last: float `[latent_dim]`, at fraction 1.
        fractions: Between 0 and 1.
        distribution: `normal` or `uniform`.
    """
    a, b = np.asarray(first, np.float64), np.asarray(last, np.float64)
    t = np.asarray(fractions, np.float64)[:, None]
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if distribution == "normal" and lengths > 0:
        angle = np.arccos(np.clip(a @ b / lengths, -1.0, 1.0))
        if 1e-6 < angle < np.pi - 1e-6:  # else the sine vanishes and the path is not defined
            mixed = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
            return mixed.astype(np.float32)
    return ((1 - t) * a + t * b).astype(np.float32)


def to_uint8(pictures: Any, scale: float = 1.0) -> np.ndarray:
    """Turns pictures in [-scale, scale] into uint8; what lies outside is clipped.

    A fixed map, never stretched from minimum to maximum: a grid must show a
    generator whose range is wrong.
    """
    values = np.asarray(pictures, np.float32) / np.float32(scale)
    values = np.nan_to_num(values, nan=-1.0)  # black; casting a NaN is undefined
    return np.rint((np.clip(values, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def draw_pictures(
    generator: Callable[[np.ndarray], Any],
    latents: np.ndarray,
    *,
    scale: float = 1.0,
    slots: Sequence[int] | np.ndarray | None = None,
) -> np.ndarray:
    """Draws pictures, always in batches of `DRAW_BATCH` rows, padded with zeros.

    Args:
        generator: Float latents `[DRAW_BATCH, latent_dim]` to pictures
            `[DRAW_BATCH, H, W, 3]` in [-scale, scale], rows independent.
        latents: float32 `[n, latent_dim]`.
        scale: Largest value of a picture.
        slots: Row of the batch for each latent, below `DRAW_BATCH`; default: in
            turn. Give a function of the seed (`slot_of`) for the same bytes
            whatever is drawn beside: a kernel may treat the last rows of a
            batch differently.

    Returns:
        uint8 `[n, H, W, 3]`.
    """
    if slots is None:
        slots = np.arange(len(latents)) % DRAW_BATCH
    parts = []
    for start, stop in _batches(slots):
        rows = np.asarray(slots[start:stop])
        padded = np.zeros((DRAW_BATCH, latents.shape[1]), np.float32)
        padded[rows] = latents[start:stop]
        parts.append(to_uint8(generator(padded), scale)[rows])
    return np.concatenate(parts) if parts else np.zeros((0, 0, 0, 3), np.uint8)


def slot_of(seed: int) -> int:
    """Returns the row of a batch in which a seed is always drawn."""
    return seed % DRAW_BATCH


def _batches(slots: Sequence[int] | np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields the longest runs [start, stop) in which no slot comes twice."""
    start, used = 0, set[int]()
    for position, slot in enumerate(slots):
        if int(slot) in used:
            yield start, position
            start, used = position, set[int]()
        used.add(int(slot))
    if used:
        yield start, len(slots)


def grid(pictures: np.ndarray, columns: int = 0) -> np.ndarray:
    """Lays pictures out in rows, left to right.

    Args:
        pictures: uint8 `[n, H, W, 3]`, n at least 1.
        columns: Pictures in a row; 0: as square as n allows.

    Returns:
        uint8 `[rows * H, columns * W, 3]`; places left over are black.
    """
    count, height, width, channels = pictures.shape
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // columns)
    filled = np.zeros((rows * columns, height, width, channels), np.uint8)
    filled[:count] = pictures
    table = filled.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return table.reshape(rows * height, columns * width, channels)


def png_bytes(picture: np.ndarray) -> bytes:
    """Encodes one picture, uint8 `[H, W, 3]`, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
