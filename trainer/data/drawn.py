"""Cats drawn by the program, so that everything runs without a download.

Owns the drawing of a `Cat`: the same for every size, four or more samples to a
pixel side. The shapes are polygons in the cat's own coordinates: x to the
right and y down, the head's middle at 0, the picture's edges near 1.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from trainer.data import drawn_shapes as shapes
from trainer.data.drawn_background import paint_background
from trainer.data.drawn_cat import COATS, EYES, Cat, Colour, imagine
from trainer.data.drawn_shapes import Points

_LEAST_CANVAS_PX = 192
# The cat's own unit, in halves of the picture's side; its head lies a little below the middle.
_UNIT, _HEAD_Y = 0.94, 0.14
_SIDES = (-1, 1)
_DARK: Colour = (34, 28, 32)
_PINK: Colour = (224, 148, 148)


def draw_cat(index: int, seed: int, size_px: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Returns cat number `index` of a seed, and its attributes.

    Returns:
        uint8 `[size_px, size_px, 3]`, and the attributes by name.
    """
    cat = imagine(index, seed)
    samples = max(2 if size_px >= 256 else 4, math.ceil(_LEAST_CANVAS_PX / size_px))
    canvas = _Drawing(cat, size_px * samples).draw()
    return np.asarray(canvas.reduce(samples)), cat.attributes()


class _Drawing:
    def __init__(self, cat: Cat, side: int) -> None:
        self._cat, self._side = cat, side
        self._coat, self._second = COATS[cat.coat], COATS[cat.second_coat]
        roll = math.radians(cat.roll_degrees)
        self._turn = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
        self._image = Image.new("RGB", (side, side))
        self._pen = ImageDraw.Draw(self._image)

    def draw(self) -> Image.Image:
        """Returns the picture at the size of the canvas."""
        self._image.paste(paint_background(self._cat, self._side))
        self._body()
        head = self._mask(self._face_at(shapes.head(self._cat.face_width)))
        self._ears()
        self._fill_mask(head, self._coat)
        self._markings(head)
        self._muzzle(head)
        self._shade(head)
        for side in _SIDES:
            self._eye(side)
        self._nose_and_mouth()
        self._whiskers()
        return self._image

    # --- coordinates ---

    def _at(self, points: Points) -> Points:
        """Puts points of the cat onto the canvas."""
        cat = self._cat
        moved = points @ self._turn * cat.scale * _UNIT + [cat.shift_x, _HEAD_Y + cat.shift_y]
        return (moved + 1) * (self._side / 2)

    def _face_at(self, points: Points, depth: float = 0.0) -> Points:
        """Puts points of the head onto the canvas; what lies in front moves as the head turns."""
        x, y = points[:, 0], points[:, 1]
        aside = self._cat.yaw * 0.16 * depth
        # Turned away, the far half is seen narrower and the near half wider.
        x = x * (1 + 0.12 * self._cat.yaw * depth * np.sign(-x)) + aside
        return self._at(np.stack([x, y], axis=1))

    def _polygon(self, points: Points, colour: Colour) -> None:
        self._pen.polygon([tuple(p) for p in points.tolist()], fill=colour)

    def _line(self, points: Points, colour: Colour, width: float) -> None:
        pixels = max(1, round(width * self._cat.scale * self._side / 2))
        self._pen.line(
            [tuple(p) for p in points.tolist()], fill=colour, width=pixels, joint="curve"
        )

    def _mask(self, points: Points) -> Image.Image:
        mask = Image.new("L", (self._side, self._side))
        ImageDraw.Draw(mask).polygon([tuple(p) for p in points.tolist()], fill=255)
        return mask

    def _fill_mask(self, mask: Image.Image, colour: Colour) -> None:
        self._image.paste(colour, (0, 0), mask)

    def _within(
        self,
        mask: Image.Image,
        paint: Callable[[ImageDraw.ImageDraw], None],
        colour: Colour,
        blur: float = 0.0,
    ) -> None:
        """Paints a colour where `paint` draws on a mask and `mask` allows it."""
        layer = Image.new("L", (self._side, self._side))
        paint(ImageDraw.Draw(layer))
        if blur:
            layer = layer.filter(ImageFilter.BoxBlur(blur * self._side))
        self._fill_mask(ImageChops.multiply(layer, mask), colour)

    # --- parts ---

    def _body(self) -> None:
        body = shapes.ellipse(0.0, 1.25, 0.8, 0.85)
        shift = np.array([self._cat.shift_x, _HEAD_Y + self._cat.shift_y])
        points = ((body * self._cat.scale * _UNIT + shift) + 1) * (self._side / 2)
        self._polygon(points, _mixed(self._coat, _DARK, 0.22))
        if self._cat.pattern == "bicolour":
            chest = shapes.ellipse(0.0, 1.1, 0.4, 0.6)
            points = ((chest * self._cat.scale * _UNIT + shift) + 1) * (self._side / 2)
            self._polygon(points, _mixed(self._second, _DARK, 0.15))

    def _ears(self) -> None:
        cat = self._cat
        colour = self._second if cat.pattern == "points" else self._coat
        colour = _mixed(colour, _DARK, 0.12)
        for side in _SIDES:
            outer, inner = shapes.ear(cat.ears, cat.ear_size, cat.face_width)
            flip = np.array([side, 1])
            self._polygon(self._face_at(outer * flip, -0.3), colour)
            inside = (
                _mixed(_PINK, self._coat, 0.35)
                if cat.ears != "folded"
                else _mixed(colour, _DARK, 0.25)
            )
            self._polygon(self._face_at(inner * flip, -0.3), inside)

    def _markings(self, head: Image.Image) -> None:
        getattr(self, f"_mark_{self._cat.pattern}")(head)

    def _mark_solid(self, head: Image.Image) -> None:
        pass

    def _mark_tabby(self, head: Image.Image) -> None:
        dark = _mixed(self._coat, _DARK, 0.55 if sum(self._coat) > 200 else 0.3)
        if self._cat.coat == "black":
            dark = (92, 88, 94)

        def stripes(pen: ImageDraw.ImageDraw) -> None:
            for stripe in shapes.tabby_stripes():
                pen.polygon([tuple(p) for p in self._face_at(stripe, 0.4).tolist()], fill=235)

        self._within(head, stripes, dark, blur=0.002)

    def _mark_bicolour(self, head: Image.Image) -> None:
        tip = -0.05 - 0.5 * ((self._cat.detail_seed % 97) / 97)

        def blaze(pen: ImageDraw.ImageDraw) -> None:
            points = self._face_at(shapes.blaze(tip), 0.9)
            pen.polygon([tuple(p) for p in points.tolist()], fill=255)

        self._within(head, blaze, self._second)

    def _mark_patches(self, head: Image.Image) -> None:
        random = np.random.RandomState(self._cat.detail_seed)
        third = COATS["orange"] if self._cat.second_coat != "orange" else COATS["black"]
        for colour, count in ((self._second, 2), (third, 1)):
            for _ in range(count):
                x, y = random.uniform(-0.6, 0.6), random.uniform(-0.55, 0.25)
                width, height = random.uniform(0.22, 0.42, 2)
                blob = shapes.blob(x, y, width, height, random.uniform(0, 6.28, 3))

                def patch(pen: ImageDraw.ImageDraw, blob: Points = blob) -> None:
                    points = self._face_at(blob, 0.3)
                    pen.polygon([tuple(p) for p in points.tolist()], fill=255)

                self._within(head, patch, colour)

    def _mark_points(self, head: Image.Image) -> None:
        def mask(pen: ImageDraw.ImageDraw) -> None:
            points = self._face_at(shapes.ellipse(0, 0.16, 0.38, 0.42), 0.9)
            pen.polygon([tuple(p) for p in points.tolist()], fill=235)

        self._within(head, mask, self._second, blur=0.05)

    def _muzzle(self, head: Image.Image) -> None:
        light = self._cat.pattern in ("tabby", "solid", "patches")
        base = self._second if self._cat.pattern in ("points", "bicolour") else self._coat
        colour = _mixed(
            base, (255, 252, 246), 0.55 if light and self._cat.coat != "black" else 0.12
        )

        def pads(pen: ImageDraw.ImageDraw) -> None:
            for shape in shapes.muzzle():
                points = self._face_at(shape, 1.0)
                pen.polygon([tuple(p) for p in points.tolist()], fill=230)

        self._within(head, pads, colour, blur=0.006)

    def _shade(self, head: Image.Image) -> None:
        """Lights the head from one side above, and darkens its lower edge."""
        side = 64
        grid = np.linspace(-1, 1, side)
        x, y = grid[None, :], grid[:, None]
        light = 0.5 - 0.22 * y + 0.2 * self._cat.light * x
        dark = Image.fromarray(np.clip((0.62 - light) * 255, 0, 110).astype(np.uint8))
        bright = Image.fromarray(np.clip((light - 0.52) * 200, 0, 70).astype(np.uint8))
        size = (self._side, self._side)
        for layer, colour in ((dark, (38, 26, 46)), (bright, (255, 246, 226))):
            smooth = layer.resize(size, Image.Resampling.BILINEAR)
            self._fill_mask(ImageChops.multiply(smooth, head), colour)

    def _eye(self, side: int) -> None:
        cat = self._cat
        centre = np.array([0.285 * cat.face_width, -0.03])
        flip = np.array([side, 1])

        def put(points: Points) -> Points:
            return self._face_at((points * cat.eye_size + centre) * flip, 0.9)

        self._polygon(put(shapes.almond(0.185, 0.15, cat.eye_slant)), _DARK)
        self._polygon(put(shapes.almond(0.16, 0.125, cat.eye_slant)), EYES[cat.eyes])
        iris_low = _mixed(EYES[cat.eyes], (255, 255, 230), 0.35)
        self._polygon(put(np.add(shapes.almond(0.13, 0.06, cat.eye_slant), [0, 0.035])), iris_low)
        self._polygon(put(shapes.ellipse(0, 0, 0.03 + 0.075 * cat.pupil, 0.115)), (14, 12, 16))
        # The light is on the same side of both eyes.
        glint = shapes.ellipse(-0.05 * side * (1 if cat.light < 0 else -1), -0.05, 0.034, 0.034)
        self._polygon(put(glint), (252, 252, 250))

    def _nose_and_mouth(self) -> None:
        dark_face = self._cat.pattern == "points" or self._cat.coat in ("black", "brown", "grey")
        nose = _mixed(_PINK, _DARK, 0.55 if dark_face else 0.08)
        self._polygon(self._face_at(shapes.nose(), 1.25), nose)
        line = _mixed(_DARK, self._coat, 0.2)
        for curve in shapes.mouth():
            self._line(self._face_at(curve, 1.2), line, 0.026)

    def _whiskers(self) -> None:
        pale = self._cat.coat not in ("white", "cream", "silver")
        colour = (244, 242, 238) if pale else (120, 112, 108)
        for curve in shapes.whiskers():
            for side in _SIDES:
                self._line(self._face_at(curve * [side, 1], 0.9), colour, 0.013)


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (
        round(a * (1 - share) + b * share) for a, b in zip(colour, other, strict=True)
    )
    return red, green, blue
