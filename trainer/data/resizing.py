"""How part of a picture is brought to size.

Owns the filter: one antialiased resampling of the source, never an enlargement.
Which part is taken is for `crop.py`.
"""

from PIL import Image

from trainer.data.rejection import Rejected

FILTER_NAME = "lanczos"
FILTER = Image.Resampling[FILTER_NAME.upper()]

Box = tuple[float, float, float, float]


def resize_box(image: Image.Image, box: Box, size_px: int) -> Image.Image:
    """Returns the square `box` of `image` at `size_px`, antialiased."""
    refuse_small(box[2] - box[0], size_px)
    if image.size == (size_px, size_px) and box == (0, 0, size_px, size_px):
        return image
    return image.resize((size_px, size_px), FILTER, box=box)


def refuse_small(side_px: float, size_px: int) -> None:
    """Raises Rejected where a square of `side_px` would have to be enlarged."""
    if side_px < size_px - 0.01:  # a side worked out from landmarks is not exact
        raise Rejected(
            "smaller than asked for", f"{side_px:.0f} px, asked for {size_px}", int(side_px)
        )
