"""From a picture to a square of the size asked for.

Owns which part of a picture is taken and how it is brought to size: in one
antialiased resampling of the source, never stretched and never enlarged. What
a cat's face is lies in `crop_landmarks.py` and `crop_face.py`.
"""

from typing import Any

import numpy as np
from PIL import Image

from trainer.data.rejection import Rejected

FILTER_NAME = "lanczos"
_FILTER = Image.Resampling.LANCZOS
_NEARLY_SQUARE = 0.01

Box = tuple[float, float, float, float]


def crop_and_resize(
    image: Image.Image, mode: str, size_px: int, landmarks: str | None = None
) -> Image.Image:
    """Returns the part of `image` that `mode` takes, RGB, `size_px` square.

    Args:
        image: RGB.
        mode: `none`, `center`, `face` or `landmarks`.
        size_px: Side of the result.
        landmarks: Text of the picture's landmark file; `landmarks` needs it.

    Raises:
        Rejected: The part is smaller than asked for, not square, or not there.
    """
    if mode == "landmarks":
        from trainer.data.crop_landmarks import crop_by_landmarks

        return crop_by_landmarks(image, landmarks, size_px)
    if mode == "face":
        from trainer.data.crop_face import face_box

        return resize_box(image, face_box(image, size_px), size_px)
    if mode == "none":
        _must_be_square(image)
    return resize_box(image, center_box(image), size_px)


def center_box(image: Image.Image) -> Box:
    """Returns the largest centred square: left, top, right, bottom in pixels."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def resize_box(image: Image.Image, box: Box, size_px: int) -> Image.Image:
    """Returns the square `box` of `image` at `size_px`, antialiased."""
    refuse_small(box[2] - box[0], size_px)
    if image.size == (size_px, size_px) and box == (0, 0, size_px, size_px):
        return image
    return image.resize((size_px, size_px), _FILTER, box=box)


def refuse_small(side_px: float, size_px: int) -> None:
    """Raises Rejected where a square of `side_px` would have to be enlarged."""
    if side_px < size_px - 0.01:  # a side worked out from landmarks is not exact
        raise Rejected(
            "smaller than asked for", f"{side_px:.0f} px, asked for {size_px}", int(side_px)
        )


def _must_be_square(image: Image.Image) -> None:
    width, height = image.size
    if abs(width - height) > _NEARLY_SQUARE * max(width, height):
        raise Rejected("not square", f"{width}x{height}", min(width, height))


def as_array(image: Image.Image) -> np.ndarray:
    """Returns uint8 `[height, width, 3]`."""
    array: np.ndarray[Any, Any] = np.asarray(image.convert("RGB"))
    return array
