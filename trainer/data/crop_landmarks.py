"""A cat's face by its landmarks.

Owns the landmark file format of the CAT data set, the square that nine points
define, and what nine points must look like to be a face. Does not find
landmarks.

The square is as wide as the distance between the outer ends of both ears
(left ear 1, right ear 3), turned so that the eyes are level, with the middle
of the eyes at (0.5, 0.4) of it. What lies outside the photograph is filled by
reflection, which looks natural up to the share allowed here.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.data.rejection import Rejected
from trainer.data.resizing import FILTER, refuse_small

EYES_AT = (0.5, 0.4)
MAX_OUTSIDE = 0.25
SETTINGS = {"eyes_at": list(EYES_AT), "outside": "reflected", "max_outside": MAX_OUTSIDE}

_POINTS = 9
_MAX_COORDINATE = 1e6


@dataclass(frozen=True)
class FaceSquare:
    """A turned square in a picture.

    Attributes:
        side_px: Length of a side, in pixels of the picture.
        origin: The square's top left corner (x, y).
        right: Unit vector along its top side; the left side is at a right angle.
    """

    side_px: float
    origin: np.ndarray
    right: np.ndarray

    @property
    def down(self) -> np.ndarray:
        """Unit vector along its left side."""
        return np.array([-self.right[1], self.right[0]])

    def corners(self) -> np.ndarray:
        """Returns float `[4, 2]`, clockwise from the top left."""
        across, along = self.right * self.side_px, self.down * self.side_px
        return np.array(
            [self.origin, self.origin + across, self.origin + across + along, self.origin + along]
        )


def parse_landmarks(text: str) -> np.ndarray:
    """Returns float `[9, 2]`: left eye, right eye, mouth, left ear 1-3, right ear 1-3 (x, y).

    Raises:
        Rejected: `text` is not nine points.
    """
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != 1 + 2 * _POINTS or numbers[0] != _POINTS or not _plain(numbers):
        raise Rejected("landmarks cannot be a face", f"expected 9 and 18 numbers: {text[:60]!r}")
    return np.array(numbers[1:]).reshape(_POINTS, 2)


def _plain(numbers: list[float]) -> bool:
    return all(abs(number) < _MAX_COORDINATE for number in numbers)


def face_square(points: np.ndarray, width: int, height: int) -> FaceSquare:
    """Returns the square of a face.

    Args:
        points: As `parse_landmarks` returns them.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.

    Raises:
        Rejected: The points cannot be those of a face in such a picture.
    """
    left_eye, right_eye = points[0], points[1]
    apart = float(np.linalg.norm(right_eye - left_eye))
    if apart < 2:
        raise Rejected("landmarks cannot be a face", f"eyes {apart:.1f} px apart")
    right = (right_eye - left_eye) / apart
    down = np.array([-right[1], right[0]])
    middle = (left_eye + right_eye) / 2
    # In units of the distance between the eyes, seen from their middle, eyes level.
    face = np.stack([(points - middle) @ right, (points - middle) @ down], axis=1) / apart
    _must_be_face(face)
    _must_be_inside(points, width, height)
    side = float(np.linalg.norm(points[8] - points[3]))
    origin = middle - side * (EYES_AT[0] * right + EYES_AT[1] * down)
    return FaceSquare(side, origin, right)


def _must_be_face(face: np.ndarray) -> None:
    mouth, left_ear, right_ear = face[2], face[3:6], face[6:9]
    span = float(np.linalg.norm(face[8] - face[3]))
    problems = {
        "mouth not below the eyes": not 0.2 <= mouth[1] <= 3,
        "mouth not between the ears": abs(mouth[0]) > 1.5,
        "ears not above the eyes": left_ear[1, 1] > 0 or right_ear[1, 1] > 0,
        "ears too high": min(left_ear[:, 1].min(), right_ear[:, 1].min()) < -4,
        "left ear not left of the right": left_ear[:, 0].mean() + 0.2 > right_ear[:, 0].mean(),
        f"ears {span:.1f} times as far apart as the eyes": not 1.2 <= span <= 5,
    }
    found = [what for what, wrong in problems.items() if wrong]
    if found:
        raise Rejected("landmarks cannot be a face", ", ".join(found))


def _must_be_inside(points: np.ndarray, width: int, height: int) -> None:
    size = np.array([width, height])
    if (points[:2] < 0).any() or (points[:2] >= size).any():
        raise Rejected("landmarks cannot be a face", f"an eye lies outside of {width}x{height}")
    beyond = np.maximum(-points, points - size).max()
    if beyond > 0.25 * max(width, height):
        raise Rejected("landmarks cannot be a face", f"a point lies {beyond:.0f} px outside")


def crop_by_landmarks(image: Image.Image, text: str | None, size_px: int) -> Image.Image:
    """Returns the face in `image`, upright, `size_px` square.

    Raises:
        Rejected: No landmarks, no face, too small, or too much of it outside.
    """
    if text is None:
        raise Rejected("no landmarks", "no .cat file beside it")
    square = face_square(parse_landmarks(text), *image.size)
    refuse_small(square.side_px, size_px)
    outside = _share_outside(square, *image.size)
    if outside > MAX_OUTSIDE:
        raise Rejected("face cut off by the edge", f"{outside:.0%} outside")
    return _sample(image, square, size_px)


def _share_outside(square: FaceSquare, width: int, height: int) -> float:
    """Returns the share of the square's area that lies outside the picture, to 1/1024."""
    steps = (np.arange(32) + 0.5) / 32 * square.side_px
    across = (
        square.origin + steps[:, None, None] * square.down + steps[None, :, None] * square.right
    )
    inside = (across >= 0).all(-1) & (across[..., 0] < width) & (across[..., 1] < height)
    return float(1 - inside.mean())


def _sample(image: Image.Image, square: FaceSquare, size_px: int) -> Image.Image:
    """Returns the square: turned on a grid at least as fine as the source, then reduced once.

    Turning alone would alias, as it looks at few source pixels for each of its
    own; on the fine grid it loses nothing, and the reduction is the only filter
    that takes detail away.
    """
    fine = math.ceil(square.side_px / size_px)
    grid = fine * size_px
    # The filter looks beyond the square's edge, as far as three pixels of the result.
    margin = 0 if fine == 1 else 3 * fine
    step = square.side_px / grid
    wide = FaceSquare(
        square.side_px + 2 * margin * step,
        square.origin - margin * step * (square.right + square.down),
        square.right,
    )
    low = np.floor(wide.corners().min(0)).astype(int) - 3
    high = np.ceil(wide.corners().max(0)).astype(int) + 4
    region = Image.fromarray(_cut_reflected(np.asarray(image), low, high))
    (a, d), (b, e) = wide.right * step, wide.down * step
    c, f = wide.origin - low
    samples = (grid + 2 * margin, grid + 2 * margin)
    turned = region.transform(
        samples, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BICUBIC
    )
    if fine == 1:
        return turned
    box = (margin, margin, margin + grid, margin + grid)
    return turned.resize((size_px, size_px), FILTER, box=box)


def _cut_reflected(pixels: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Returns pixels [low, high) of a picture continued by its mirror image on all sides."""
    columns = _reflected(np.arange(low[0], high[0]), pixels.shape[1])
    rows = _reflected(np.arange(low[1], high[1]), pixels.shape[0])
    return pixels[rows[:, None], columns[None, :]]


def _reflected(positions: np.ndarray, length: int) -> np.ndarray:
    folded = positions % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)
