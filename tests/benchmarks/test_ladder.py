"""When a feature network has passed its ladder."""

import numpy as np
import pytest

from benchmarks.ladder import Distance, is_sure
from benchmarks.ladder_damage import rungs
from trainer.data.drawn import draw_cat
from trainer.scores import kernel_distance_with_error


def features(shift, count=400, seed=0, width=16):
    """The same pictures with the same seed, displaced."""
    return np.random.default_rng(seed).standard_normal((count, width)) + shift


@pytest.fixture(scope="module")
def real():
    return features(0.0, seed=1)


def test_its_error_is_that_of_evaluate(real):
    """Over ten blocks of both sides."""
    rows = features(0.3)
    value, error = kernel_distance_with_error(rows, real)
    found = Distance.of(rows, real)
    assert (found.value, found.error) == (pytest.approx(value), pytest.approx(error))


def test_a_rung_of_the_same_pictures_is_surely_farther_where_its_distance_alone_is_not(real):
    near, far = (Distance.of(features(shift), real) for shift in (0.10, 0.13))
    growth, error = far.above(near)
    assert is_sure(growth, error)
    assert growth < 2 * np.hypot(near.error, far.error)  # unpaired nobody could tell
    assert not is_sure(*near.above(far))


def test_other_pictures_without_damage_are_not_surely_farther(real):
    one = Distance.of(features(0.0), real)
    sure = [is_sure(*Distance.of(features(0.0, seed=s), real).above(one)) for s in range(2, 22)]
    assert sum(sure) <= 3


def test_every_family_damages_more_and_more():
    pool = np.stack([draw_cat(number, 0, 32)[0] for number in range(48)])
    moved = {}
    for rung in rungs():
        damaged = rung.apply(pool, 24, np.random.default_rng(0))
        assert (damaged.dtype, damaged.shape[1:]) == (np.uint8, (32, 32, 3))
        alike = 24 if rung.family != "modes" else 0  # where there are fewer, in another order
        change = np.abs(damaged[:alike].astype(float) - pool[:alike])
        moved.setdefault(rung.family, []).append(change.mean() if alike else 0.0)
    assert moved.keys() == {
        "blur", "noise", "checkerboard", "contrast", "modes", "strangers"
    }  # fmt: skip
    for family in ("blur", "noise", "checkerboard", "contrast"):
        assert moved[family] == sorted(moved[family]), family
        assert moved[family][0] > 0
