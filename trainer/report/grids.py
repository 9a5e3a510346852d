"""Sample grids as pictures: which of many to show, and what part of them.

Owns the choice and the cutting. How a grid is laid out is `trainer.gan.sampling`'s: rows of equal
pictures, as square as their number allows.
"""

import io
import math
from collections.abc import Sequence

from PIL import Image

from trainer.errors import DataError
from trainer.report.run_view import RunView
from trainer.run_folder import names


def chosen(steps: Sequence[int], most: int) -> list[int]:
    """Returns at most so many of the steps: the first, the last, and evenly spaced ones between."""
    if len(steps) <= most:
        return list(steps)
    places = {round(place * (len(steps) - 1) / max(1, most - 1)) for place in range(most)}
    return [steps[place] for place in sorted(places)]


def columns(run: RunView) -> int:
    """Returns how many pictures a row of the run's grids has."""
    return math.ceil(math.sqrt(run.config.samples.count))


def read_grid(run: RunView, step: int) -> Image.Image:
    """Returns a step's grid, RGB.

    Raises:
        DataError: It is no picture.
    """
    try:
        return Image.open(io.BytesIO(run.grid(step))).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"the grid of step {step:,} of {run.address} cannot be read: {error}",
            expected="a PNG, as training writes it",
            remedy=f"delete {run.folder.folder.address_of(names.sample(step))}",
        ) from None


def first_pictures(grid: Image.Image, size_px: int, across: int, down: int) -> Image.Image:
    """Cuts the upper left part of a grid: so many pictures across and down, at most all."""
    width = min(grid.width, across * size_px)
    height = min(grid.height, down * size_px)
    return grid.crop((0, 0, width, height))


def enlarged(picture: Image.Image, side_px: int) -> Image.Image:
    """Scales a picture by a whole number so that its width comes near to `side_px` from below."""
    factor = max(1, side_px // picture.width)
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def webp(picture: Image.Image, quality: int = 82) -> bytes:
    """Encodes a picture as WebP."""
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=quality, method=4)
    return buffer.getvalue()
