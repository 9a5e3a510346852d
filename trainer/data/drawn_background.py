"""What lies behind a drawn cat.

Owns the kinds of background; painted small and soft, as behind a lens.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trainer.data.drawn_cat import BACKGROUND_COLOURS, Cat, Colour

_SMALL = 96


def paint_background(cat: Cat, side: int) -> Image.Image:
    """Returns RGB, `side` pixels square."""
    colour = BACKGROUND_COLOURS[cat.background_colour]
    random = np.random.RandomState(cat.detail_seed)
    return _KINDS[cat.background](colour, random).resize((side, side), Image.Resampling.BICUBIC)


def _shaded(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(part * factor)) for part in colour)
    return red, green, blue


def _gradient(top: Colour, bottom: Colour) -> Image.Image:
    share = np.linspace(0, 1, _SMALL)[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    return Image.fromarray(np.broadcast_to(rows, (_SMALL, _SMALL, 3)).round().astype(np.uint8))


def _plain(colour: Colour, random: np.random.RandomState) -> Image.Image:
    return _gradient(_shaded(colour, 1.06), _shaded(colour, 0.9))


def _sunset(colour: Colour, random: np.random.RandomState) -> Image.Image:
    return _gradient(colour, (246, 204, 150))


def _room(colour: Colour, random: np.random.RandomState) -> Image.Image:
    image = Image.new("RGB", (_SMALL, _SMALL), colour)
    pen, edge = ImageDraw.Draw(image), int(_SMALL * random.uniform(0.55, 0.78))
    pen.rectangle((0, edge, _SMALL, _SMALL), fill=_shaded(colour, 0.6))
    left = int(_SMALL * random.uniform(0.0, 0.65))
    pen.rectangle((left, 6, left + 26, 40), fill=_shaded(colour, 1.25))
    return image.filter(ImageFilter.GaussianBlur(1.2))


def _lights(colour: Colour, random: np.random.RandomState) -> Image.Image:
    image = Image.new("RGB", (_SMALL, _SMALL), _shaded(colour, 0.62))
    for _ in range(9):
        x, y = random.uniform(0, _SMALL, 2)
        radius, bright = random.uniform(5, 13), random.uniform(0.8, 1.3)
        box = (x - radius, y - radius, x + radius, y + radius)
        ImageDraw.Draw(image).ellipse(box, fill=_shaded(colour, bright))
    return image.filter(ImageFilter.GaussianBlur(1.6))


def _hills(colour: Colour, random: np.random.RandomState) -> Image.Image:
    image = _gradient((196, 220, 236), (232, 236, 226))
    pen = ImageDraw.Draw(image)
    across = np.arange(_SMALL + 1)
    for height, factor in ((0.45, 0.95), (0.62, 0.75)):
        wave = np.sin(across / _SMALL * random.uniform(3, 7) + random.uniform(0, 6.28))
        line = _SMALL * (height + 0.07 * wave)
        outline = [*zip(across.tolist(), line.tolist(), strict=True), (_SMALL, _SMALL), (0, _SMALL)]
        pen.polygon(outline, fill=_shaded(colour, factor))
    return image.filter(ImageFilter.GaussianBlur(0.8))


_KINDS = {
    "plain": _plain,
    "sunset": _sunset,
    "room": _room,
    "lights": _lights,
    "hills": _hills,
}
