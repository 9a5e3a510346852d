"""Near-duplicates: what counts as one, and what does not."""

import io

import numpy as np
import pytest
from PIL import Image

from trainer.data.crop import crop_and_resize
from trainer.data.dedup import _alike, signature
from trainer.data.drawn import draw_cat


def cat(index: int, size: int = 128) -> Image.Image:
    return Image.fromarray(draw_cat(index, 0, size)[0])


def compressed(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "jpeg", quality=quality)
    return Image.open(out).convert("RGB")


@pytest.mark.parametrize("index", range(12))
def test_the_same_picture_is_known_again(index):
    original = crop_and_resize(cat(index), "center", 64)
    smaller = crop_and_resize(cat(index).resize((96, 96), Image.Resampling.BICUBIC), "center", 64)
    again = crop_and_resize(compressed(cat(index), 70), "center", 64)
    brighter = Image.fromarray((np.asarray(original) * 0.95).astype(np.uint8))
    for other in (original, smaller, again, brighter):
        assert _alike(signature(original), signature(other))


def test_other_cats_are_not():
    marks = [signature(crop_and_resize(cat(index), "center", 64)) for index in range(60)]
    alike = [(a, b) for a in range(60) for b in range(a) if _alike(marks[a], marks[b])]
    assert alike == []


def test_one_colour_pictures_are_alike_only_in_the_same_colour():
    marks = [signature(Image.new("RGB", (64, 64), (level,) * 3)) for level in (0, 1, 128)]
    assert _alike(marks[0], marks[1])
    assert not _alike(marks[0], marks[2])
