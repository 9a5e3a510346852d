"""Cats drawn by the program itself."""

import numpy as np
from PIL import Image, ImageDraw

from trainer.seeds import random_bits


def draw_cat(index: int, seed: int, size_px: int) -> tuple[np.ndarray, dict]:
    """Returns uint8 `[size_px, size_px, 3]`: cat number `index`."""
    u = (random_bits(24, seed, "drawn", index) >> np.uint64(11)) / 2.0**53
    k = size_px * 4
    back = tuple(int(60 + 150 * x) for x in u[:3])
    coat = tuple(int(40 + 200 * x) for x in u[3:6])
    im = Image.new("RGB", (k, k), back)
    d = ImageDraw.Draw(im)
    r = k * (0.3 + 0.06 * u[6])
    cx, cy = k * (0.5 + 0.08 * (u[7] - 0.5)), k * (0.56 + 0.06 * (u[8] - 0.5))
    for s in (-1, 1):
        d.polygon(
            [
                (cx + s * r * 0.95, cy - r * 0.3),
                (cx + s * r * 0.8, cy - r * 1.5),
                (cx + s * r * 0.1, cy - r * 0.8),
            ],
            coat,
        )
    d.ellipse([cx - r * 1.1, cy - r, cx + r * 1.1, cy + r], coat)
    eye = tuple(int(80 + 150 * x) for x in u[9:12])
    for s in (-1, 1):
        ex, ey = cx + s * r * 0.45, cy - r * 0.1
        d.ellipse([ex - r * 0.22, ey - r * 0.18, ex + r * 0.22, ey + r * 0.18], eye)
        d.ellipse([ex - r * 0.07, ey - r * 0.16, ex + r * 0.07, ey + r * 0.16], (10, 10, 10))
    d.polygon(
        [(cx - r * 0.12, cy + r * 0.25), (cx + r * 0.12, cy + r * 0.25), (cx, cy + r * 0.4)],
        (220, 130, 140),
    )
    return np.asarray(im.resize((size_px, size_px), Image.Resampling.BOX)), {}
