"""The outlines of a drawn cat's parts.

Owns geometry only: each function returns points `[n, 2]` (or several such) in
the cat's coordinates, for the right half where a part comes twice.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np

Points = np.ndarray

_TURN = np.linspace(0, 2 * np.pi, 72, endpoint=False)


def ellipse(x: float, y: float, width: float, height: float) -> Points:
    """Returns an ellipse by its centre and half axes."""
    return np.stack([x + width * np.cos(_TURN), y + height * np.sin(_TURN)], axis=1)


def blob(x: float, y: float, width: float, height: float, phases: np.ndarray) -> Points:
    """Returns an ellipse with a wavy edge."""
    radius = 1 + 0.16 * np.sin(2 * _TURN + phases[0]) + 0.1 * np.sin(3 * _TURN + phases[1])
    radius = radius + 0.05 * np.sin(5 * _TURN + phases[2])
    return np.stack(
        [x + width * radius * np.cos(_TURN), y + height * radius * np.sin(_TURN)], axis=1
    )


def head(width: float) -> Points:
    """Returns a head: flat above, with cheeks."""
    across, down = np.cos(_TURN), np.sin(_TURN)
    x = 0.68 * width * np.sign(across) * np.abs(across) ** 0.82
    y = 0.57 * np.sign(down) * np.abs(down) ** 0.9
    cheeks = 1 + 0.09 * np.exp(-(((y - 0.2) / 0.2) ** 2)) - 0.1 * np.clip(y / 0.57, 0, 1) ** 3
    return np.stack([x * cheeks, y], axis=1)


@lru_cache(maxsize=1024)
def bezier(*controls: tuple[float, float], count: int = 14) -> Points:
    """Returns a quadratic or cubic curve by its control points."""
    t = np.linspace(0, 1, count)[:, None]
    points = [np.array(control) for control in controls]
    while len(points) > 1:
        points = [a * (1 - t) + b * t for a, b in pairwise(points)]
    curve = np.broadcast_to(points[0], (count, 2))
    curve.flags.writeable = False  # it is kept for the next cat
    return curve


def ear(kind: str, size: float, width: float) -> tuple[Points, Points]:
    """Returns the right ear and what is seen inside of it."""
    if kind == "folded":
        return _folded_ear(size, width)
    height = {"upright": 0.92, "pointed": 1.04, "wide": 0.86}[kind] * size
    tip_x = {"upright": 0.56, "pointed": 0.5, "wide": 0.72}[kind] * width
    inner_base, outer_base = (0.1 * width, -0.42), (0.68 * width, -0.05)
    left_of_tip, right_of_tip = (tip_x - 0.05, -height + 0.015), (tip_x + 0.045, -height + 0.03)
    outline = np.concatenate(
        [
            bezier(inner_base, (tip_x - 0.26, -height + 0.16), left_of_tip),
            bezier(left_of_tip, (tip_x, -height), right_of_tip, count=6),
            bezier(right_of_tip, (0.74 * width, -height + 0.4), outer_base),
        ]
    )
    middle = np.array([0.45 * width, -0.36])
    return outline, middle + (outline - middle) * [0.6, 0.68]


def _folded_ear(size: float, width: float) -> tuple[Points, Points]:
    """Returns a low ear, and the flap that hangs over its front."""
    top = -0.66 * size
    inner, peak, outer = (0.16 * width, -0.4), (0.47 * width, top), (0.72 * width, -0.2)
    outline = np.concatenate(
        [
            bezier(inner, (0.26 * width, top), peak),
            bezier(peak, (0.74 * width, top + 0.04), outer),
            bezier(outer, (0.5 * width, -0.1), inner),
        ]
    )
    tip = (0.52 * width, -0.34)
    flap = np.concatenate(
        [
            bezier((0.24 * width, -0.5), (0.34 * width, top + 0.02), peak),
            bezier(peak, (0.72 * width, top + 0.06), (0.7 * width, -0.36)),
            bezier((0.7 * width, -0.36), (0.62 * width, -0.3), tip),
            bezier(tip, (0.4 * width, -0.48), (0.24 * width, -0.5)),
        ]
    )
    return outline, flap


def almond(width: float, height: float, slant: float) -> Points:
    """Returns the right eye's outline around 0, its outer corner raised by `slant`."""
    across, down = np.cos(_TURN), np.sin(_TURN)
    x = width * across
    y = height * down * (1 - 0.38 * np.abs(across) ** 1.6)
    return np.stack([x, y - slant * x * 1.6], axis=1)


def nose() -> Points:
    """Returns a rounded triangle."""
    return np.concatenate(
        [
            bezier((-0.085, 0.175), (0, 0.15), (0.085, 0.175), count=8),
            bezier((0.085, 0.175), (0.085, 0.225), (0, 0.275), count=8),
            bezier((0, 0.275), (-0.085, 0.225), (-0.085, 0.175), count=8),
        ]
    )


def mouth() -> list[Points]:
    """Returns the lines of a smiling mouth."""
    return [
        bezier((0, 0.26), (0, 0.31), (0, 0.335), count=4),
        bezier((0, 0.335), (0.03, 0.405), (0.15, 0.375)),
        bezier((0, 0.335), (-0.03, 0.405), (-0.15, 0.375)),
    ]


def muzzle() -> list[Points]:
    """Returns the pads beside the nose, and the chin."""
    return [
        ellipse(-0.13, 0.3, 0.19, 0.14),
        ellipse(0.13, 0.3, 0.19, 0.14),
        ellipse(0, 0.42, 0.13, 0.12),
    ]


def whiskers() -> list[Points]:
    """Returns the right side's whiskers."""
    return [
        bezier((0.2, 0.25), (0.5, 0.16), (0.86, 0.2)),
        bezier((0.2, 0.29), (0.52, 0.28), (0.9, 0.34)),
        bezier((0.2, 0.33), (0.5, 0.38), (0.84, 0.48)),
    ]


def blaze(tip: float) -> Points:
    """Returns a bicolour cat's light muzzle, running to a point at y = `tip`."""
    right = np.concatenate(
        [
            bezier((0, tip), (0.05, -0.05), (0.12, 0.1)),
            bezier((0.12, 0.1), (0.42, 0.22), (0.4, 0.45)),
            bezier((0.4, 0.45), (0.3, 0.62), (0, 0.64)),
        ]
    )
    return np.concatenate([right, right[::-1] * [-1, 1]])


def tabby_stripes() -> list[Points]:
    """Returns the M of the forehead and the stripes of the cheeks, both halves."""
    half = [
        _stripe((0.04, -0.62), (0.05, -0.42), (0.04, -0.24), 0.035),
        _stripe((0.17, -0.62), (0.15, -0.44), (0.22, -0.25), 0.038),
        _stripe((0.32, -0.56), (0.3, -0.42), (0.38, -0.26), 0.034),
        _stripe((0.78, 0.02), (0.62, 0.04), (0.5, 0.06), 0.036),
        _stripe((0.78, 0.2), (0.62, 0.2), (0.5, 0.2), 0.036),
        _stripe((0.7, 0.4), (0.58, 0.36), (0.48, 0.33), 0.03),
    ]
    return half + [stripe * [-1, 1] for stripe in half]


def _stripe(
    start: tuple[float, float], bend: tuple[float, float], end: tuple[float, float], width: float
) -> Points:
    """Returns a stripe that is widest at its start and runs out to a point."""
    middle = bezier(start, bend, end)
    along = np.gradient(middle, axis=0)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1)
    aside = aside / np.linalg.norm(aside, axis=1, keepdims=True)
    half = width * np.linspace(1, 0.05, len(middle))[:, None]
    return np.concatenate([middle + aside * half, (middle - aside * half)[::-1]])
