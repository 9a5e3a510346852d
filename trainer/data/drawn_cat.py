"""What a drawn cat looks like, before it is drawn.

Owns the attributes, their ranges and how often each comes up. The drawing
itself is `drawn.py`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.seeds import random_bits

Colour = tuple[int, int, int]

COATS: dict[str, Colour] = {
    "black": (46, 44, 50),
    "grey": (120, 126, 138),
    "silver": (184, 188, 194),
    "white": (240, 237, 230),
    "cream": (232, 208, 168),
    "orange": (222, 138, 62),
    "cinnamon": (170, 104, 66),
    "brown": (112, 82, 62),
}
EYES: dict[str, Colour] = {
    "green": (116, 178, 84),
    "yellow": (226, 190, 62),
    "copper": (206, 122, 44),
    "blue": (92, 160, 216),
    "turquoise": (84, 188, 176),
}
PATTERNS = ("solid", "tabby", "bicolour", "patches", "points")
EARS = ("upright", "pointed", "wide", "folded")
BACKGROUNDS = ("plain", "sunset", "room", "lights", "hills")
BACKGROUND_COLOURS: dict[str, Colour] = {
    "sky": (150, 194, 224),
    "mint": (164, 208, 184),
    "sand": (222, 202, 166),
    "rose": (224, 172, 172),
    "lilac": (184, 172, 214),
    "teal": (70, 126, 134),
    "night": (60, 66, 104),
    "moss": (118, 138, 90),
    "brick": (170, 98, 80),
}

_NUMBERS_A_CAT = 64


@dataclass(frozen=True, kw_only=True)
class Cat:
    """Everything that a drawing depends on.

    Lengths are in halves of the picture's side, angles in degrees, the rest
    from 0 to 1 or -1 to 1.
    """

    coat: str
    pattern: str
    second_coat: str
    eyes: str
    eye_size: float
    eye_slant: float
    pupil: float
    ears: str
    ear_size: float
    face_width: float
    roll_degrees: float
    yaw: float
    scale: float
    shift_x: float
    shift_y: float
    background: str
    background_colour: str
    light: float
    detail_seed: int

    def attributes(self) -> dict[str, Any]:
        """Returns what is recorded beside a data set, numbers to four digits."""
        return {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


class Draws:
    """Random numbers in a fixed sequence.

    Args:
        bits: uint64, as many as will be drawn.
    """

    def __init__(self, bits: np.ndarray) -> None:
        self._numbers = iter(((bits >> np.uint64(11)) / 2.0**53).tolist())

    def between(self, low: float, high: float) -> float:
        """Returns a number from `low` to `high`."""
        return low + (high - low) * next(self._numbers)

    def middling(self, spread: float) -> float:
        """Returns a number from -spread to spread, mostly near 0."""
        return spread * (next(self._numbers) + next(self._numbers) - 1)

    def one_of(self, names: Sequence[str], weights: Sequence[float] | None = None) -> str:
        """Returns one of `names`."""
        edges = np.cumsum(weights or [1.0] * len(names))
        return names[int(np.searchsorted(edges, next(self._numbers) * edges[-1], side="right"))]


def imagine(index: int, seed: int) -> Cat:
    """Returns cat number `index` of a seed; a function of both alone."""
    draws = Draws(random_bits(_NUMBERS_A_CAT, seed, "drawn cat", index))
    coat = draws.one_of(list(COATS), [1.0, 1.2, 0.8, 0.8, 0.9, 1.5, 0.8, 1.1])
    pattern = draws.one_of(PATTERNS, [1.0, 1.6, 1.3, 0.9, 0.7])
    if pattern == "points":
        coat = draws.one_of(["cream", "white", "silver"])
    return Cat(
        coat=coat,
        pattern=pattern,
        second_coat=_second(draws, coat, pattern),
        eyes="blue" if pattern == "points" else draws.one_of(list(EYES), [1.4, 1.3, 1, 0.6, 0.5]),
        eye_size=draws.between(0.85, 1.2),
        eye_slant=draws.between(0.0, 0.16),
        pupil=draws.between(0.22, 0.75),
        ears=draws.one_of(EARS, [1.5, 1.0, 1.0, 0.25]),
        ear_size=draws.between(0.85, 1.15),
        face_width=draws.between(0.94, 1.1),
        roll_degrees=draws.middling(24),
        yaw=draws.middling(0.75),
        scale=draws.between(0.86, 1.08),
        shift_x=draws.middling(0.12),
        shift_y=draws.middling(0.08),
        background=draws.one_of(BACKGROUNDS),
        background_colour=draws.one_of(list(BACKGROUND_COLOURS)),
        light=draws.between(-1, 1),
        detail_seed=int(draws.between(0, 2**31)),
    )


def _second(draws: Draws, coat: str, pattern: str) -> str:
    """Returns the markings' colour: one that shows on the coat."""
    if pattern == "points":
        return draws.one_of(["brown", "black", "grey", "cinnamon"])
    if pattern == "bicolour":
        return "white" if coat != "white" else draws.one_of(["black", "grey", "orange"])
    if pattern == "patches":
        return draws.one_of([name for name in ("white", "black", "orange") if name != coat])
    return coat
