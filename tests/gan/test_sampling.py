"""Seeds, latents, pictures, grids."""

import io

import numpy as np
import pytest
from PIL import Image

from trainer.errors import ConfigError
from trainer.gan import sampling


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_a_seed_alone_decides_its_latents(distribution):
    together = sampling.latents_from_seeds([5, 6, 7], 17, distribution)
    alone = sampling.latents_from_seeds([6], 17, distribution)
    assert together.dtype == np.float32
    assert together.shape == (3, 17)
    assert np.array_equal(together[1], alone[0])
    assert not np.array_equal(together[0], together[1])


def test_the_latents_of_a_seed_never_change():
    normal = sampling.latents_from_seeds([123], 4)[0]
    uniform = sampling.latents_from_seeds([123], 4, "uniform")[0]
    np.testing.assert_allclose(normal, NORMAL_123, rtol=1e-6)
    np.testing.assert_allclose(uniform, UNIFORM_123, rtol=1e-6)


NORMAL_123 = [-0.29193851, 0.61670846, -1.96196735, -1.34858525]
UNIFORM_123 = [0.61431295, -0.9487766, -0.46119204, -0.08598656]


def test_distributions_have_the_moments_they_are_named_after():
    normal = sampling.latents_from_seeds(range(200), 500)
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs((normal**4).mean() - 3) < 0.15
    uniform = sampling.latents_from_seeds(range(200), 500, "uniform")
    assert uniform.min() >= -1
    assert uniform.max() < 1
    assert abs(uniform.std() - 3**-0.5) < 0.01


def test_truncation_redraws_only_what_lies_outside():
    whole = sampling.latents_from_seeds([1, 2], 300)
    cut = sampling.latents_from_seeds([1, 2], 300, truncation=0.7)
    inside = np.abs(whole) <= 0.7
    assert np.array_equal(whole[inside], cut[inside])
    assert np.abs(cut).max() <= 0.7
    assert len(np.unique(cut)) == cut.size  # redrawn, not clipped


@pytest.mark.parametrize(
    ("truncation", "distribution"),
    [(1.0, "uniform"), (0.0, "normal"), (-1.0, "normal"), (float("nan"), "normal")],
)
def test_a_truncation_that_makes_no_sense_is_refused(truncation, distribution):
    with pytest.raises(ConfigError, match="truncation"):
        sampling.latents_from_seeds([1], 4, distribution, truncation=truncation)


def test_spherical_interpolation_keeps_the_length():
    first, last = sampling.latents_from_seeds([1, 2], 512)
    between = sampling.interpolate(first, last, [0, 0.25, 0.5, 1], "normal")
    np.testing.assert_allclose(between[0], first, rtol=1e-6)
    np.testing.assert_allclose(between[-1], last, rtol=1e-5, atol=1e-6)
    lengths = np.linalg.norm(between, axis=1)
    low, high = sorted([lengths[0], lengths[-1]])
    assert low * 0.97 <= lengths[2] <= high * 1.03


def test_interpolation_is_linear_for_uniform_and_for_parallel_latents():
    first, last = sampling.latents_from_seeds([1, 2], 8, "uniform")
    middle = sampling.interpolate(first, last, [0.5], "uniform")[0]
    np.testing.assert_allclose(middle, (first + last) / 2, rtol=1e-6)
    same = sampling.interpolate(first, first, [0.5], "normal")[0]
    np.testing.assert_allclose(same, first, rtol=1e-6)


def test_pictures_are_mapped_never_stretched():
    values = np.array([-9.0, -0.5, 0.0, 0.5, 9.0, np.nan], np.float32)
    assert sampling.to_uint8(values, 0.5).tolist() == [0, 0, 128, 255, 255, 0]
    assert sampling.to_uint8(values, 1.0).tolist() == [0, 64, 128, 191, 255, 0]


def test_drawing_uses_one_batch_shape_and_gives_each_latent_its_own_picture():
    shapes = []

    def generator(latents):
        shapes.append(latents.shape)
        return np.tile(latents[:, :1, None, None], (1, 2, 2, 3))

    latents = np.linspace(-1, 1, 37, dtype=np.float32)[:, None]
    pictures = sampling.draw_pictures(generator, latents)
    assert set(shapes) == {(sampling.DRAW_BATCH, 1)}
    assert np.array_equal(pictures[:, 0, 0, 0], sampling.to_uint8(latents[:, 0]))

    seeds = list(range(1030, 1067))
    slots = [sampling.slot_of(seed) for seed in seeds]
    placed = sampling.draw_pictures(generator, latents, slots=slots)
    assert np.array_equal(placed, pictures)


def test_a_grid_shows_every_picture_in_its_place():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    table = sampling.grid(pictures, columns=3)
    assert table.shape == (4, 9, 3)
    assert table[0, ::3, 0].tolist() == [0, 1, 2]
    assert table[2, ::3, 0].tolist() == [3, 4, 0]
    assert sampling.grid(pictures).shape == (4, 9, 3)
    assert sampling.grid(pictures[:1]).shape == (2, 3, 3)


def test_png_holds_the_pixels_exactly():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    read = np.asarray(Image.open(io.BytesIO(sampling.png_bytes(picture))))
    assert np.array_equal(read, picture)
