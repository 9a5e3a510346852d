"""From pixels to the bytes of a record.

Owns the encodings and their settings. Equal pixels give equal bytes.
"""

import io
from typing import Any

from PIL import Image

SETTINGS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 6},
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "raw": {},
}


def encode(image: Image.Image, encoding: str) -> bytes:
    """Returns an RGB picture as `png`, `jpeg` or `raw` (rows first, 3 bytes a pixel)."""
    if encoding == "raw":
        return image.tobytes()
    # A picture without its source's side information: no profile, no EXIF.
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    out = io.BytesIO()
    bare.save(out, encoding, **SETTINGS[encoding])
    return out.getvalue()
