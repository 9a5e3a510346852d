"""A cat's face by OpenCV's cascade.

Owns finding the face and how much around it is taken. The cascade comes with
the OpenCV 4 wheels; those of OpenCV 5 have neither it nor its class.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from trainer.data.rejection import Rejected
from trainer.data.resizing import Box, refuse_small
from trainer.errors import ConfigError

CASCADE = "haarcascade_frontalcatface_extended.xml"
# The cascade's box ends below the ears' tips; this share of it is added around.
MARGIN = 0.12
UP = 0.08
SETTINGS = {"cascade": CASCADE, "margin": MARGIN, "up": UP}

# On 23 photographs with known faces these found 15 and nothing else; finer search or
# equalised contrast found fewer, two neighbours brought false faces.
_SEARCH_PX = 400
_MIN_FACE_SHARE = 0.1


def face_box(image: Image.Image, size_px: int) -> Box:
    """Returns the square around the largest cat face: left, top, right, bottom in pixels.

    The square is shifted, and at last made smaller, until it lies in the picture.

    Raises:
        Rejected: No face is found, or it is smaller than `size_px`.
        ConfigError: The installed OpenCV has no cat cascade.
    """
    scale = min(1.0, _SEARCH_PX / max(image.size))
    small = image.convert("L")
    if scale < 1:
        small = small.resize([max(1, round(side * scale)) for side in image.size])
    least = max(24, round(_MIN_FACE_SHARE * min(small.size)))
    faces = _cascade().detectMultiScale(
        np.asarray(small),
        scaleFactor=1.05,
        minNeighbors=3,
        minSize=(least, least),
    )
    if len(faces) == 0:
        raise Rejected("no cat face found", f"in {image.width}x{image.height}")
    # Largest first; position breaks ties, so that the choice never depends on luck.
    _, left, top, width = max((w * h, x, y, w) for x, y, w, h in faces.tolist())
    box = _around(left / scale, top / scale, width / scale, image.size)
    refuse_small(box[2] - box[0], size_px)
    return box


def _around(left: float, top: float, side: float, size: tuple[int, int]) -> Box:
    wanted = min(side * (1 + 2 * MARGIN), *size)
    middle_x, middle_y = left + side / 2, top + side / 2 - UP * side
    x = min(max(0.0, middle_x - wanted / 2), size[0] - wanted)
    y = min(max(0.0, middle_y - wanted / 2), size[1] - wanted)
    return x, y, x + wanted, y + wanted


@lru_cache(maxsize=1)
def _cascade() -> "cv2.CascadeClassifier":
    path = Path(getattr(cv2.data, "haarcascades", "")) / CASCADE
    if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
        raise ConfigError(
            f"the installed OpenCV {cv2.__version__} has no cat cascade",
            expected="OpenCV 4, whose wheels hold it",
            remedy="pip install 'opencv-python-headless<5'",
        )
    cv2.setNumThreads(1)  # `prepare` has a process for each core
    return cv2.CascadeClassifier(str(path))
