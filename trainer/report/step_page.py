"""One step as a page and as arrays: every picture, what D saw of it and said to it.

Owns the two files. The step itself is rebuilt by `trainer.launch.replay`.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trainer import __version__, storage
from trainer.gan.sampling import to_uint8
from trainer.report.grids import webp
from trainer.report.page import template
from trainer.report.pictures import data_address

if TYPE_CHECKING:
    from trainer.launch.replay import Half, Replay

PAGE, ARRAYS = "step.html", "step.npz"
MOST_SHOWN = 256


@dataclass(frozen=True)
class Shown:
    """One picture of the step.

    Attributes:
        row: In the global batch, counted from 0.
        image, augmented: Addresses that hold it, and what D saw of it.
        logit: D's, before the step.
        gradient_norm: Of that logit at the picture.
    """

    row: int
    image: str
    augmented: str
    logit: float
    gradient_norm: float


def write(step: "Replay", out: str) -> list[str]:
    """Writes `step.html` and `step.npz` into a folder or bucket; returns their addresses.

    Raises:
        StorageError: The folder cannot be written.
    """
    folder = storage.open_folder(out)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **step.arrays())
    folder.write(ARRAYS, buffer.getvalue())
    folder.write(PAGE, page(step).encode())
    return [folder.address_of(PAGE), folder.address_of(ARRAYS)]


def page(step: "Replay") -> str:
    """Returns the page as HTML: pictures in the order of how fast D changes at them."""
    return template("step.html.j2").render(
        step=step,
        halves=[
            ("Real pictures", _shown(step.real, step.scale)),
            ("Generated pictures", _shown(step.fake, step.scale)),
        ],
        same=all(step.figures[name] == value for name, value in step.noted.items()),
        version=__version__,
    )


def _shown(half: "Half", scale: float) -> list[Shown]:
    # Not-a-number first: that is what one looks for.
    order = np.argsort(-np.nan_to_num(half.gradient_norms, nan=np.inf), kind="stable")
    return [
        Shown(
            int(row),
            _address(half.images[row], scale),
            _address(half.augmented[row], scale),
            float(half.logits[row]),
            float(half.gradient_norms[row]),
        )
        for row in order[:MOST_SHOWN]
    ]


def _address(picture: np.ndarray, scale: float) -> str:
    return data_address(webp(Image.fromarray(to_uint8(picture, scale)), 90))
