"""The stand-in features: averages, at equal counts, refused where too little is held out."""

import numpy as np
import pytest

from tests.callbacks import tiny_run
from tests.data.small_sets import noise, write_set
from trainer import scores
from trainer.data.drawn import draw_cat
from trainer.errors import DataError
from trainer.launch.tuning.score import features_of, score


def cats(seed):
    return np.stack([draw_cat(number, seed, 32)[0] for number in range(100)])


def test_features_are_averages_over_squares():
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (3, 32, 32, 3), np.uint8)
    found = features_of(pictures)
    assert found.shape == (3, 3 * (4**2 + 8**2 + 16**2))
    unit = pictures / 127.5 - 1
    np.testing.assert_allclose(found[1, :3], 4 * unit[1, :8, :8].mean((0, 1)))
    np.testing.assert_allclose(found[2, -3:], unit[2, -2:, -2:].mean((0, 1)))
    # A side that no scale divides.
    assert np.isfinite(features_of(pictures[:, :30, :30])).all()


def test_what_is_no_cat_is_far():
    """Noise, one grey. Blur is beyond these features."""
    real, fake = cats(0), cats(1)
    noise_like = np.random.default_rng(0).integers(0, 256, fake.shape, np.uint8)
    others = noise_like, np.full_like(fake, 128)
    near, *far = (
        scores.kernel_distance_with_error(features_of(real), features_of(pictures))
        for pictures in (fake, *others)
    )
    assert all(value > 3 * abs(near[0]) and value > 5 * error for value, error in far), (near, far)


def test_too_few_held_out_pictures_are_refused(tmp_path):
    write_set(tmp_path / "data", noise(40, 32), validation=10)
    with pytest.raises(DataError, match="holds out 10"):
        score("anything", tiny_run.tiny_config(tmp_path))
