"""Margins to scores, and what a list may hold, without a run."""

import numpy as np
import pytest

from trainer.data.exclude import read_exclude_list
from trainer.errors import ConfigError, TrainingError
from trainer.outliers.find import find_outliers
from trainer.outliers.rank import Outlier, scores_of
from trainer.outliers.sheet import exclude_list


def test_both_sides_count_and_judges_count_alike():
    random = np.random.default_rng(0)
    margins = random.normal(size=(2, 1000))
    margins[0, 3], margins[1, 3] = 9.0, -9.0  # far off, on another side each time
    margins[0, 5] = 9.0  # for one judge only
    scores = scores_of(margins)
    assert list(np.argsort(-scores)[:2]) == [3, 5]
    scaled = scores_of(margins * [[1.0], [1e3]] + [[0.0], [7.0]])
    np.testing.assert_allclose(scaled, scores, rtol=1e-9)


def test_scores_are_deviations_of_a_normal_distribution():
    margins = np.random.default_rng(1).normal(5.0, 3.0, (1, 200_000))
    assert np.sqrt(np.mean(scores_of(margins) ** 2)) == pytest.approx(1.0, abs=0.01)


def test_a_dead_judge_is_passed_over_and_only_dead_ones_are_refused():
    margins = np.stack([np.zeros(10), np.arange(10.0), np.full(10, np.nan)])
    np.testing.assert_array_equal(scores_of(margins), scores_of(margins[1:2]))
    with pytest.raises(TrainingError, match="same answer"):
        scores_of(margins[[0, 2]])


def test_names_that_a_list_cannot_hold_are_comments(tmp_path):
    names = ["a.jpg", "sub/b c.jpg", "c#1.jpg", " d.jpg", "e\nf.jpg", "ü.jpg"]
    text, unfit = exclude_list([Outlier(name, 1.0, 0.0) for name in names], "run", "set")
    assert unfit == 3
    (tmp_path / "list.txt").write_bytes(text)
    assert read_exclude_list(str(tmp_path / "list.txt")).names == {
        "a.jpg",
        "sub/b c.jpg",
        "ü.jpg",
    }


def test_no_pictures_are_no_wish(tmp_path):
    with pytest.raises(ConfigError, match="count 0"):
        find_outliers("nowhere", str(tmp_path), count=0, open_dataset=lambda config: None)
