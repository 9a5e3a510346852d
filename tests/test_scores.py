"""Scores against published values, independent implementations and their own laws."""

import tracemalloc

import numpy as np
import pytest

from trainer import scores
from trainer.errors import ConfigError, DataError


def _normal(count, width, seed, shift=0.0):
    return np.random.default_rng(seed).standard_normal((count, width)) + shift


def _frechet(x, y):
    return scores.frechet_distance(*scores.statistics(x), *scores.statistics(y))


def test_the_published_toy_of_two_columns():
    """Means (1.5, 1) and (5.5, 9), variances 25/99 and 1225/99 (compare_gan's test: 89.091)."""
    real, fake = np.ones((100, 2)), np.full((100, 2), 9.0)
    real[:50, 0] = fake[50:, 0] = 2
    assert _frechet(real, fake) == pytest.approx(89.091, abs=1e-4)


def test_equal_covariances_leave_the_means_alone():
    mean, sigma = scores.statistics(_normal(50, 8, 0))
    other = mean + np.arange(8)
    assert scores.frechet_distance(mean, sigma, other, sigma) == np.sum((mean - other) ** 2)


@pytest.mark.parametrize(("count", "width"), [(400, 32), (40, 64)], ids=["full rank", "singular"])
def test_frechet_distance_is_that_of_the_matrix_root(count, width):
    """Roots of eigenvalues of the product, which is not symmetric, instead of ours."""
    x, y = _normal(count, width, 1), 1.5 * _normal(count, width, 2, 0.3)
    (mu1, sigma1), (mu2, sigma2) = scores.statistics(x), scores.statistics(y)
    eigenvalues = np.linalg.eigvals(sigma1 @ sigma2)
    # Of a singular product rounding leaves eigenvalues whose roots are not small.
    large = np.abs(eigenvalues) > 1e-10 * np.abs(eigenvalues).max()
    root = np.sqrt(eigenvalues[large].astype(complex)).real.sum()
    expected = np.sum((mu1 - mu2) ** 2) + np.trace(sigma1) + np.trace(sigma2) - 2 * root
    assert scores.frechet_distance(mu1, sigma1, mu2, sigma2) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [400, 70], ids=["full rank", "singular"])
def test_frechet_distance_is_that_of_scipys_matrix_root(count):
    linalg = pytest.importorskip("scipy.linalg")
    x, y = _normal(count, 96, 1), 1.5 * _normal(500, 96, 2, 0.3)
    (mu1, sigma1), (mu2, sigma2) = scores.statistics(x), scores.statistics(y)
    root = np.trace(linalg.sqrtm(sigma1 @ sigma2)).real
    expected = np.sum((mu1 - mu2) ** 2) + np.trace(sigma1) + np.trace(sigma2) - 2 * root
    assert scores.frechet_distance(mu1, sigma1, mu2, sigma2) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_common_axes_is_that_of_standard_deviations():
    """Exact: covariances of the same eigenvectors, half of each without any extent."""
    axes = np.linalg.qr(_normal(64, 64, 17))[0]
    one, other = np.square(_normal(2, 64, 18))
    one[:32], other[16:48] = 0.0, 0.0
    found = scores.frechet_distance(
        np.zeros(64), axes * one @ axes.T, np.zeros(64), axes * other @ axes.T
    )
    assert found == pytest.approx(np.sum((np.sqrt(one) - np.sqrt(other)) ** 2), rel=1e-10)


def test_statistics_in_parts_and_merged_are_those_of_the_whole():
    x = _normal(500, 6, 19, shift=1e4).astype(np.float32)
    workers = [scores.FeatureStatistics() for _ in range(3)]
    for part, worker in zip(np.array_split(x, 9), 3 * workers, strict=True):
        worker.add(part)
    # One that has seen nothing neither changes another nor is changed by giving to it.
    whole, idle = scores.FeatureStatistics(), scores.FeatureStatistics()
    for worker in (*workers, idle):
        whole.merge(worker)
    assert (whole.count, workers[0].count, idle.count) == (500, 167, 0)
    for found, expected in zip(whole.result(), scores.statistics(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(DataError, match="6 and 5 wide"):
        whole.add(x[:, :5])
    with pytest.raises(DataError, match="at least 2 rows"):
        idle.result()


def test_statistics_in_blocks_are_numpys_even_far_from_zero(monkeypatch):
    monkeypatch.setattr(scores, "_BLOCK_ROWS", 7)
    x = _normal(100, 5, 3, shift=1e5)
    mean, sigma = scores.statistics(x)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sigma, np.cov(x, rowvar=False), rtol=1e-8, atol=1e-10)


def _kernel_by_loops(x, y):
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    def mean_of_pairs(rows):
        n = len(rows)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        return sum(kernel(rows[i], rows[j]) for i, j in pairs) / (n * (n - 1))

    crossed = np.mean([kernel(a, b) for a in x for b in y])
    return mean_of_pairs(x) + mean_of_pairs(y) - 2 * crossed


def test_kernel_distance_by_loops(monkeypatch):
    x, y = _normal(23, 6, 4), _normal(31, 6, 5, 0.5)
    expected = _kernel_by_loops(x, y)
    assert scores.kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(scores, "_BLOCK_ROWS", 5)
    assert scores.kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)
    value, error = scores.kernel_distance_with_error(x, y, blocks=4)
    assert value == pytest.approx(expected, rel=1e-12)
    without = [
        _kernel_by_loops(*(np.concatenate([p for i, p in enumerate(np.array_split(s, 4)) if i != b])
                           for s in (x, y)))
        for b in range(4)
    ]  # fmt: skip
    by_hand = np.sqrt(3 / 4 * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert error == pytest.approx(by_hand, rel=1e-9)


def test_kernel_distance_is_unbiased_and_its_error_is_its_spread():
    found = [
        scores.kernel_distance_with_error(_normal(100, 8, 2 * i), _normal(100, 8, 2 * i + 1))
        for i in range(100)
    ]
    values, errors = np.array(found).T
    assert abs(values.mean()) < 3 * values.std() / 10
    assert 0.5 < np.sqrt(np.mean(errors**2)) / values.std() < 2
    assert scores.kernel_distance(_normal(100, 8, 0), _normal(100, 8, 1, 0.5)) > 5 * errors[0]


def _by_matrices(real, fake, k):
    """The definitions of prdc (Naeem et al. 2020), with whole matrices of differences."""

    def distances(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    def radii(rows):
        return np.sort(distances(rows, rows), axis=1)[:, k]

    between, real_radii, fake_radii = distances(real, fake), radii(real), radii(fake)
    return (
        (between < real_radii[:, None]).any(axis=0).mean(),
        (between < fake_radii[None]).any(axis=1).mean(),
        (between < real_radii[:, None]).sum(axis=0).mean() / k,
        (between.min(axis=1) < real_radii).mean(),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_by_matrices(monkeypatch, k):
    monkeypatch.setattr(scores, "_BLOCK_ROWS", 17)
    real, fake = _normal(60, 3, 6), _normal(45, 3, 7, 0.4)
    ours = *scores.precision_recall(real, fake, k), *scores.density_coverage(real, fake, k)
    np.testing.assert_allclose(ours, _by_matrices(real, fake, k), rtol=1e-14)


@pytest.mark.slow
def test_the_published_example_of_prdc():
    """N(0, I), 10,000 rows of 1,000, k = 5: 0.477, 0.471, 1.056, 0.974.

    Its page says that they fluctuate. Density does most: its expectation is 1, and 16 draws of
    2,000 and 4,000 rows had standard deviations of 0.09 and 0.08. On this draw the package itself
    (prdc 0.2 on scikit-learn 1.9.1) gives the second row of numbers, which are to be met.
    """
    real, fake = _normal(10_000, 1_000, 8), _normal(10_000, 1_000, 9)
    found = [*scores.precision_recall(real, fake, 5), *scores.density_coverage(real, fake, 5)]
    apart = np.abs(np.subtract(found, [0.477, 0.471, 1.056, 0.974]))
    assert (apart < [0.02, 0.02, 0.1, 0.02]).all(), found
    np.testing.assert_allclose(found, [0.4728, 0.4722, 0.9890, 0.9693], atol=5e-4)


def test_a_lost_mode_costs_recall_and_strangers_cost_precision():
    real = np.concatenate([_normal(100, 4, 10), _normal(100, 4, 11, 20.0)])
    one_mode = _normal(200, 4, 12)
    precision, recall = scores.precision_recall(real, one_mode)
    assert precision > 0.8
    assert 0.3 < recall < 0.55
    assert scores.density_coverage(real, one_mode)[1] < 0.55
    strangers = np.concatenate([real[:100] + 1e-3, _normal(100, 4, 13, 100.0)])
    assert scores.precision_recall(real, strangers)[0] == pytest.approx(0.5, abs=0.05)


def test_copies_of_training_pictures_are_found():
    train, held_out = _normal(300, 6, 14), _normal(200, 6, 15)
    new, copies = _normal(200, 6, 16), train[:100] + 1e-4
    usual = scores.nearest(held_out, train)[1]
    assert scores.memorised_share(scores.nearest(new, train)[1], usual) < 0.05
    mixed = np.concatenate([new[:100], copies])
    share = scores.memorised_share(scores.nearest(mixed, train)[1], usual)
    assert share == pytest.approx(0.5, abs=0.03)
    places, distances = scores.nearest(copies, train)
    np.testing.assert_array_equal(places, np.arange(100))
    np.testing.assert_allclose(distances, 1e-4 * np.sqrt(6), rtol=1e-9)


def test_nearest_in_blocks_is_that_of_all_and_a_copy_is_at_no_distance(monkeypatch):
    monkeypatch.setattr(scores, "_BLOCK_ROWS", 7)
    queries, references = _normal(40, 5, 20, 1e3), _normal(60, 5, 21, 1e3)
    apart = np.linalg.norm(queries[:, None] - references[None], axis=2)
    places, distances = scores.nearest(queries, references)
    np.testing.assert_array_equal(places, apart.argmin(axis=1))
    np.testing.assert_allclose(distances, apart.min(axis=1), rtol=1e-12)
    assert not scores.nearest(references[::-1], references)[1].any()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: scores.precision_recall(_normal(3, 2, 0), _normal(9, 2, 0)), "at least 4 rows"),
        (lambda: scores.density_coverage(_normal(9, 2, 0), _normal(5, 2, 0)), "at least 6 rows"),
        (lambda: scores.kernel_distance(_normal(1, 2, 0), _normal(9, 2, 0)), "at least 2 rows"),
        (
            lambda: scores.kernel_distance_with_error(_normal(19, 2, 0), _normal(99, 2, 0)),
            "at least 20 rows",
        ),
        (lambda: scores.kernel_distance(_normal(9, 2, 0), _normal(9, 3, 0)), "2 and 3 wide"),
        (lambda: scores.statistics(np.array([[1.0], [np.nan]])), "not finite"),
        (
            lambda: scores.precision_recall(_normal(9, 1, 0), np.full((9, 1), np.inf)),
            "fake: values are not finite",
        ),
        (
            lambda: scores.memorised_share(np.ones(99), np.ones(99)),
            "held-out distances has the shape [99, 1]\n  expected: [n, d] with at least 100 rows",
        ),
        (
            lambda: scores.memorised_share(np.ones(99), np.concatenate([np.zeros(9), np.ones(99)])),
            "held-out distances without copies of training pictures has the shape [99, 1]",
        ),
        (lambda: scores.memorised_share(np.ones(9), np.zeros(200)), "the shape [0, 1]"),
        (
            lambda: scores.memorised_share(np.array([np.nan]), np.ones(100)),
            "distances: values are not finite",
        ),
        (lambda: scores.nearest(np.zeros((0, 2)), np.zeros((3, 2))), "at least 1 rows"),
        (lambda: scores.statistics(np.zeros(4)), r"the shape \[4\]"),
        (
            lambda: scores.frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3)),
            "do not belong together",
        ),
    ],
)
def test_what_cannot_be_scored_is_said(call, told):
    with pytest.raises(DataError) as error:
        call()
    assert told.replace("\\", "") in str(error.value)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: scores.precision_recall(x, x, 0), "k is 0"),
        (lambda x: scores.density_coverage(x, x, -1), "k is -1"),
        (lambda x: scores.kernel_distance_with_error(x, x, 1), "blocks is 1"),
        (lambda x: scores.memorised_share(x[:, 0], x[:, 0], 0.0), "percentile is 0.0"),
    ],
)
def test_a_setting_out_of_range_is_said(call, told):
    with pytest.raises(ConfigError, match=told) as error:
        call(_normal(9, 2, 0))
    assert error.value.remedy


def test_memory_is_that_of_a_few_blocks():
    """Of 8,192 rows all distances would be 512 MB, a block of them 64 MB."""
    x, y = _normal(8192, 4, 20), _normal(8192, 4, 21)
    tracemalloc.start()
    scores.precision_recall(x, y)
    scores.density_coverage(x, y)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4 * 1024 * 8192 * 8
