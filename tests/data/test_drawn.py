"""Drawn cats: the same for the same number, different for others, recognisable in numbers."""

import numpy as np
import pytest

from trainer.data import drawn_cat
from trainer.data.drawn import draw_cat
from trainer.data.drawn_cat import COATS, EARS, EYES, PATTERNS, imagine


def test_a_cat_is_a_function_of_number_and_seed():
    first, attributes = draw_cat(7, 0, 32)
    again, same = draw_cat(7, 0, 32)
    np.testing.assert_array_equal(first, again)
    assert attributes == same
    assert (first != draw_cat(8, 0, 32)[0]).any()
    assert (first != draw_cat(7, 1, 32)[0]).any()


@pytest.mark.parametrize("size", [8, 33, 64, 128, 300])
def test_every_size_shows_the_same_cat(size):
    pixels, attributes = draw_cat(3, 0, size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert attributes == draw_cat(3, 0, 32)[1]


def test_sizes_agree():
    large = draw_cat(5, 0, 128)[0].astype(float).reshape(32, 4, 32, 4, 3).mean((1, 3))
    small = draw_cat(5, 0, 32)[0].astype(float)
    assert np.abs(large - small).mean() < 4


def test_everything_varies_over_a_few_hundred_cats():
    cats = [imagine(index, 0) for index in range(400)]
    assert {cat.coat for cat in cats} == set(COATS)
    assert {cat.pattern for cat in cats} == set(PATTERNS)
    assert {cat.eyes for cat in cats} == set(EYES)
    assert {cat.ears for cat in cats} == set(EARS)
    assert {cat.background for cat in cats} == set(drawn_cat.BACKGROUNDS)
    assert {cat.background_colour for cat in cats} == set(drawn_cat.BACKGROUND_COLOURS)
    assert np.std([cat.roll_degrees for cat in cats]) > 5
    assert np.std([cat.yaw for cat in cats]) > 0.1
    markings = [cat for cat in cats if cat.pattern in ("bicolour", "patches", "points")]
    assert all(cat.coat != cat.second_coat for cat in markings)


def test_edges_are_antialiased():
    """A hard-edged drawing has few colours; soft edges have many."""
    pixels = draw_cat(0, 0, 64)[0]
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500


def test_attributes_can_be_written_down():
    import json

    attributes = draw_cat(1, 2, 16)[1]
    assert json.loads(json.dumps(attributes)) == attributes
    assert {"coat", "pattern", "eyes", "ears", "roll_degrees", "background"} <= set(attributes)
