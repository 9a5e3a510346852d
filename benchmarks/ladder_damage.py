"""Known damage to real pictures, in steps: the rungs of `ladder.py`.

Every rung takes uint8 `[n, H, W, 3]` and gives the same; each family is ordered from little
damage to much. The first rung of a family is one that a person sees in a grid: of strangers one
in ten, since the distance grows with the square of their share and one in twenty is lost in the
difference between one draw of real pictures and the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from trainer.data.drawn import draw_cat

CLUSTERS = 8
_SMALL_PX = 8


@dataclass(frozen=True)
class Rung:
    """One step of one family.

    Attributes:
        family: What is damaged.
        told: How much, in words.
        apply: `(pool, count, random)` to the damaged pictures; pool is uint8 `[m, H, W, 3]`.
    """

    family: str
    told: str
    apply: Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def rungs() -> list[Rung]:
    """All families, each in growing order."""
    found = [Rung("blur", f"blur, σ {s:g} px", _each(blurred, s)) for s in (0.5, 1, 2, 4)]
    found += [Rung("noise", f"noise, σ {s} of 255", _each(noisy, s)) for s in (8, 16, 32, 64)]
    found += [
        Rung("checkerboard", f"checkerboard, ±{a} of 255", _each(checkered, a))
        for a in (8, 16, 32, 64)
    ]
    found += [
        Rung("contrast", f"{f:.0%} of the contrast", _each(paler, f)) for f in (0.8, 0.6, 0.4, 0.2)
    ]
    found += [
        Rung("modes", f"{kept} of {CLUSTERS} modes", partial(fewer_modes, kept))
        for kept in (6, 4, 2, 1)
    ]
    found += [
        Rung("strangers", f"{s:.0%} strangers", partial(with_strangers, s))
        for s in (0.1, 0.2, 0.4, 0.8)
    ]
    return found


def _each(damage: Callable, amount: float) -> Callable:
    return lambda pool, count, random: damage(pool[:count], amount, random)


def _rounded(pictures: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


def blurred(pictures: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian blur, in pixels of the picture."""
    return np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in pictures])


def noisy(pictures: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """Independent normal noise on every number."""
    return _rounded(pictures + random.normal(0, sigma, pictures.shape))


def checkered(pictures: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """Every second pixel lighter, the others darker: what transposed convolutions leave."""
    place = np.indices(pictures.shape[1:3]).sum(axis=0) % 2
    return _rounded(pictures + (2 * place - 1)[None, :, :, None] * amount)


def paler(pictures: np.ndarray, factor: float, random: np.random.Generator) -> np.ndarray:
    """Less contrast about the picture's own mean."""
    mean = pictures.mean(axis=(1, 2, 3), keepdims=True)
    return _rounded(mean + factor * (pictures - mean))


def fewer_modes(kept: int, pool: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Pictures of some clusters only, found among small pictures: no feature network has a say."""
    px = _SMALL_PX
    small = np.stack([cv2.resize(p, (px, px), interpolation=cv2.INTER_AREA) for p in pool])
    rows = small.reshape(len(pool), -1).astype(np.float32)
    cv2.setRNGSeed(1)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-3)
    _, labels, _ = cv2.kmeans(rows, CLUSTERS, None, criteria, 5, cv2.KMEANS_PP_CENTERS)
    largest = np.argsort(-np.bincount(labels[:, 0], minlength=CLUSTERS))[:kept]
    places = np.flatnonzero(np.isin(labels[:, 0], largest))
    # Without repeats, which an unbiased distance would take for a fault: fewer, if need be.
    return pool[random.permutation(places)[:count]]


def with_strangers(
    share: float, pool: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """Some pictures are cats that this program draws: another kind of picture altogether."""
    pictures = pool[:count].copy()
    strangers = round(share * count)
    size_px = pictures.shape[1]
    pictures[:strangers] = [draw_cat(index, 0, size_px)[0] for index in range(strangers)]
    return pictures[random.permutation(count)]
