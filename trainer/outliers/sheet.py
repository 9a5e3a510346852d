"""What is written of outliers: a sheet of pictures and a list for `prepare --exclude`."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainer.gan import sampling
from trainer.outliers.rank import Outlier

SHEET_NAME, LIST_NAME = "outliers.png", "outliers.txt"
MAX_SHEET_PICTURES = 64

_LEAST_SIDE_PX = 128
_CAPTION_PX = 14
_WHITE = (255, 255, 255)


def sheet(pictures: np.ndarray, outliers: Sequence[Outlier]) -> np.ndarray:
    """Lays pictures out in rows, the number and the end of the name below each.

    Small pictures are enlarged by a whole number, so that a name has room.

    Args:
        pictures: uint8 `[n, H, W, 3]`, n at least 1.
        outliers: What each of them is.

    Returns:
        uint8 `[H', W', 3]`.
    """
    factor = -(-_LEAST_SIDE_PX // pictures.shape[1])
    large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    labelled = [
        np.concatenate([picture, _caption(f"{number} {outlier.name}", picture.shape[1])])
        for number, (picture, outlier) in enumerate(zip(large, outliers, strict=True), 1)
    ]
    return sampling.grid(np.stack(labelled))


def _caption(text: str, width: int) -> np.ndarray:
    """White on black, uint8 `[_CAPTION_PX, width, 3]`; of a long name the end, which tells more."""
    image = Image.new("RGB", (width, _CAPTION_PX))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default()
    number, _, name = text.partition(" ")
    while pen.textlength(text, font=font) > width - 2 and len(name) > 1:
        name = name[1:]
        text = f"{number} …{name}"
    pen.text((1, 1), text, _WHITE, font=font)
    return np.asarray(image)


def exclude_list(outliers: Sequence[Outlier], origin: str, dataset: str) -> tuple[bytes, int]:
    """Returns the text of the list, the worst first, and how many names cannot stand in it.

    Args:
        outliers: What to list.
        origin: Address of the newest checkpoint whose discriminator judged.
        dataset: Address of the data set.
    """
    lines = [
        f"# The pictures of {dataset}",
        f"# that the discriminators of {origin}",
        "# find least like the others. Look at them first, and delete the lines of those to keep.",
    ]
    unfit = 0
    for number, outlier in enumerate(outliers, 1):
        line = f"{outlier.name}  # {number}, score {outlier.score:.2f}"
        if not _can_be_listed(outlier.name):
            unfit += 1
            line = f"# {number}: {outlier.name!r} cannot be excluded by a list"
        lines.append(line)
    return ("\n".join(lines) + "\n").encode(), unfit


def _can_be_listed(name: str) -> bool:
    return "#" not in name and name == name.strip() and len(name.splitlines()) == 1
