"""From a picture to a square of the size asked for.

Owns which part of a picture is taken; nothing is ever stretched. Resampling is
`resizing.py`, what a cat's face is lies in `crop_landmarks.py` and
`crop_face.py`.
"""

from PIL import Image

from trainer.data.rejection import Rejected
from trainer.data.resizing import Box, resize_box

_NEARLY_SQUARE = 0.01


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


def _must_be_square(image: Image.Image) -> None:
    width, height = image.size
    if abs(width - height) > _NEARLY_SQUARE * max(width, height):
        raise Rejected("not square", f"{width}x{height}", min(width, height))
