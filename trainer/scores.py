"""How alike two sets of pictures are, from their features. Pure functions of arrays.

Owns the arithmetic of the scores and their errors. Does not know pictures,
networks or files: features are rows `[n, d]`, whatever they were measured with.
All arithmetic is in float64, in blocks of rows, so that 50,000 rows need no
matrix of 50,000 by 50,000.

All raise DataError for too few rows, for unlike widths and for values that are
not finite, and ConfigError for a k, blocks or percentile out of range.
"""

import math
from collections.abc import Iterator

import numpy as np

from trainer.errors import ConfigError, DataError

# Rows of one block: 1,024 by 50,000 distances are 400 MB.
_BLOCK_ROWS = 1024
# Nearer than this share of the usual distance is a copy: the network rounds a little.
_COPY_SHARE = 1e-4


class FeatureStatistics:
    """Mean and covariance of features that come in parts, in any order; two can be merged.

    Joined as in Chan, Golub and LeVeque 1979 (pairwise update): sums of raw squares would lose
    what is far from zero. `count` rows so far, their `mean` `[d]`, and `scatter` `[d, d]`, the
    sum of the outer products of rows less the mean; float64, d = 0 before the first row.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.scatter = 0, np.zeros(0), np.zeros((0, 0))

    def add(self, features: np.ndarray) -> None:
        """Takes in rows `[n, d]`, at least one."""
        for _, block in _blocks(_checked("features", features, 1)):
            mean = block.mean(axis=0)
            centred = block - mean
            self._join(len(block), mean, centred.T @ centred)

    def merge(self, other: "FeatureStatistics") -> None:
        """Takes in the rows that another one has seen."""
        if other.count:
            self._join(other.count, other.mean, other.scatter)

    def _join(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        if not self.count:
            self.mean, self.scatter = np.zeros_like(mean), np.zeros_like(scatter)
        _check_widths(len(self.mean), len(mean))
        total = self.count + count
        step = mean - self.mean
        self.mean = self.mean + step * (count / total)
        self.scatter = self.scatter + scatter + np.outer(step, step) * (self.count * count / total)
        self.count = total

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mean `[d]` and the unbiased covariance `[d, d]` of at least two rows."""
        if self.count < 2:
            raise _too_few("features", [self.count, len(self.mean)], 2)
        return self.mean, self.scatter / (self.count - 1)


def statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean `[d]` and the unbiased covariance `[d, d]` of features `[n, d]`, n > 1."""
    seen = FeatureStatistics()
    seen.add(_checked("features", features, 2))
    return seen.result()


def frechet_distance(
    mu1: np.ndarray, sigma1: np.ndarray, mu2: np.ndarray, sigma2: np.ndarray
) -> float:
    """Squared Fréchet distance of two normal distributions.

    |mu1 - mu2|^2 + tr(sigma1 + sigma2 - 2 (sigma1 sigma2)^(1/2)) (Dowson and Landau 1982;
    Heusel et al. 2017, eq. 6); of Inception's features it is called FID. Means are `[d]`,
    covariances `[d, d]`, symmetric, without negative eigenvalues, maybe singular.
    """
    mu1, sigma1, mu2, sigma2 = (np.asarray(a, np.float64) for a in (mu1, sigma1, mu2, sigma2))
    if mu1.ndim != 1 or len({mu1.shape * 2, mu2.shape * 2, sigma1.shape, sigma2.shape}) > 1:
        raise _unlike(
            f"means {mu1.shape}, {mu2.shape} and covariances {sigma1.shape}, {sigma2.shape} do "
            "not belong together"
        )
    if not all(np.isfinite(a).all() for a in (mu1, sigma1, mu2, sigma2)):
        raise _not_finite("means or covariances")
    between = float(np.sum(np.square(mu1 - mu2)))
    # Else rounding would remain of three equal traces.
    if np.array_equal(sigma1, sigma2):
        return between
    # The trace of the product's root is the nuclear norm of the roots' product, which loses
    # less to rounding than eigenvalues of the product do.
    common = np.linalg.svd(_root(sigma1) @ _root(sigma2), compute_uv=False).sum()
    return between + max(float(np.trace(sigma1) + np.trace(sigma2) - 2.0 * common), 0.0)


def _root(sigma: np.ndarray) -> np.ndarray:
    """The symmetric root of a covariance; what is only rounding of zero is zero."""
    values, vectors = np.linalg.eigh(sigma)
    least = len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return (vectors * np.sqrt(np.where(values > least, values, 0.0))) @ vectors.T


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (a·b / d + 1)^3.

    KID where the features are Inception's (Bińkowski et al. 2018, section 4, all pairs instead of
    subsets). Unbiased, so it may be below zero. x is `[n, d]`, y `[m, d]`; two rows at least.
    """
    x, y = _pair(2, x=x, y=y)
    # Within a set, one half of the pairs of blocks mirrors the other and is not computed.
    return _discrepancy(*_kernel_sums(x, y, 1 + min(len(x), len(y)) // _BLOCK_ROWS))


def kernel_distance_with_error(
    x: np.ndarray, y: np.ndarray, blocks: int = 10
) -> tuple[float, float]:
    """Returns `kernel_distance` and its standard error.

    The error is the delete-one-block jackknife's (Efron and Stein 1981) over blocks of both sets
    together: sqrt((B - 1) / B * sum of (value without block b - their mean)^2). x `[n, d]` and
    y `[m, d]`, their rows in no order, are cut into B = `blocks`, each of two rows at least.
    """
    _check_least("blocks", blocks, 2)
    x, y = _pair(2 * blocks, x=x, y=y)
    sums = _kernel_sums(x, y, blocks)
    every = np.arange(blocks)
    without = np.array([_discrepancy(*sums, kept=every[every != block]) for block in every])
    spread = np.sum(np.square(without - without.mean()))
    return _discrepancy(*sums), float(np.sqrt((blocks - 1) / blocks * spread))


# Sums of the kernel between blocks [B, B] within x, within y, between both; rows of each block [B].
_Sums = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _kernel_sums(x: np.ndarray, y: np.ndarray, blocks: int) -> _Sums:
    parts_x, parts_y = np.array_split(x, blocks), np.array_split(y, blocks)

    def cubes(kernel: np.ndarray) -> float:
        kernel /= x.shape[1]
        kernel += 1.0
        kernel *= kernel * kernel
        return float(kernel.sum())

    def total(a: np.ndarray, b: np.ndarray) -> float:
        return sum(cubes(rows @ b.T) for _, rows in _blocks(a))

    def within(parts: list[np.ndarray]) -> np.ndarray:
        sums = np.diag([total(a, a) - cubes(np.einsum("ij,ij->i", a, a)) for a in parts])
        for i, j in zip(*np.tril_indices(blocks, -1), strict=True):
            sums[i, j] = sums[j, i] = total(parts[i], parts[j])
        return sums

    between = np.array([[total(a, b) for b in parts_y] for a in parts_x])
    x_counts, y_counts = (np.array([len(p) for p in parts]) for parts in (parts_x, parts_y))
    return within(parts_x), within(parts_y), between, x_counts, y_counts


def _discrepancy(xx, yy, xy, x_counts, y_counts, kept=slice(None)) -> float:
    grid = np.ix_(kept, kept) if isinstance(kept, np.ndarray) else (kept, kept)
    n, m = int(x_counts[kept].sum()), int(y_counts[kept].sum())
    same = xx[grid].sum() / (n * (n - 1)) + yy[grid].sum() / (m * (m - 1))
    return float(same - 2.0 * xy[grid].sum() / (n * m))


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eq. 1 and 2).

    The share of fake rows `[m, d]` on the real manifold, and of real rows `[n, d]` on the fake
    one. A set's manifold are balls about its rows, as large as the k-th neighbour is far.
    """
    _check_least("k", k, 1)
    real, fake = _pair(k + 1, real=real, fake=fake)
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    precise, recalled = np.zeros(len(fake), bool), 0
    for begin, distances in _distances(real, fake):
        own = real_radii[begin : begin + len(distances), None]
        precise |= (distances < own).any(axis=0)
        recalled += int((distances < fake_radii).any(axis=1).sum())
    return float(precise.mean()), recalled / len(real)


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, eq. 4 and 5).

    Real balls about a fake row `[m, d]`, in the mean and divided by k; the share of real balls
    with a fake row in them. A real row's `[n, d]` ball reaches to its k-th neighbour.
    """
    _check_least("k", k, 1)
    real, fake = _pair(k + 1, real=real, fake=fake)
    radii = _radii(real, k)
    inside, covered = 0, 0
    for begin, distances in _distances(real, fake):
        own = radii[begin : begin + len(distances), None]
        inside += int((distances < own).sum())
        covered += int((distances.min(axis=1, keepdims=True) < own).sum())
    return inside / (k * len(fake)), covered / len(real)


def nearest(queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places `[n]` of queries' `[n, d]` nearest references `[m, d]`, and how far."""
    queries, references = _pair(1, queries=queries, references=references)
    places = np.concatenate([d.argmin(axis=1) for _, d in _distances(queries, references)])
    # From differences, which are zero of a copy; through products rounding would remain.
    apart = [
        np.linalg.norm(rows - references[places[begin : begin + len(rows)]], axis=1)
        for begin, rows in _blocks(queries)
    ]
    return places, np.concatenate(apart)


def memorised_share(distances: np.ndarray, usual: np.ndarray, percentile: float = 1.0) -> float:
    """Share of fake rows that are nearer to a training row than new real pictures ever are.

    Args:
        distances: `[n]` of fake rows to their nearest training rows, see `nearest`.
        usual: `[m]`, the same of real pictures that were not trained on; copies of training
            pictures among them are left out.
        percentile: Of `usual`; about this share, in percent, is found where nothing was
            memorised. Takes 100 / percentile of them: with fewer it lies between the smallest two.
    """
    if not 0.0 < percentile <= 100.0:
        raise _out_of_range(f"percentile is {percentile}", "above 0, at most 100")
    _checked("distances", distances[:, None], 1)
    least = math.ceil(100.0 / percentile)
    _checked("held-out distances", usual[:, None], least)
    usual = usual[usual > _COPY_SHARE * np.median(usual)]
    _checked("held-out distances without copies of training pictures", usual[:, None], least)
    return float(np.mean(distances < np.percentile(usual, percentile)))


def _radii(rows: np.ndarray, k: int) -> np.ndarray:
    """The distance of each row to its k-th neighbour, itself not counted."""
    radii = []
    for begin, distances in _distances(rows, rows):
        own = np.arange(len(distances))
        distances[own, begin + own] = 0.0
        # A copy: a view would keep the whole block.
        radii.append(np.partition(distances, k, axis=1)[:, k].copy())
    return np.concatenate(radii)


def _distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields Euclidean distances of all rows of `b` to a block of `a`, and where it begins."""
    norms = np.einsum("ij,ij->i", b, b)
    for begin, rows in _blocks(a):
        squares = rows @ b.T
        squares *= -2.0
        squares += np.einsum("ij,ij->i", rows, rows)[:, None]
        squares += norms
        yield begin, np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)


def _blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for begin in range(0, len(rows), _BLOCK_ROWS):
        yield begin, rows[begin : begin + _BLOCK_ROWS].astype(np.float64, copy=False)


def _pair(least: int, **sets: np.ndarray) -> list[np.ndarray]:
    checked = [_checked(name, features, least) for name, features in sets.items()]
    _check_widths(*(features.shape[1] for features in checked))
    return [features.astype(np.float64, copy=False) for features in checked]


def _checked(name: str, features: np.ndarray, least: int) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2 or len(features) < least or not features.shape[1]:
        raise _too_few(name, list(features.shape), least)
    if not np.isfinite(features).all():
        raise _not_finite(name)
    return features


def _too_few(name: str, shape: list[int], least: int) -> DataError:
    return DataError(
        f"{name} has the shape {shape}",
        expected=f"[n, d] with at least {least} rows",
        remedy=f"measure at least {least} pictures",
    )


def _check_widths(one: int, other: int) -> None:
    if one != other:
        raise _unlike(f"features are {one} and {other} wide")


def _unlike(what: str) -> DataError:
    remedy = "measure both sets with the same feature network"
    return DataError(what, expected="the same width d everywhere", remedy=remedy)


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise _out_of_range(f"{name} is {value}", f"at least {least}")


def _out_of_range(what: str, expected: str) -> ConfigError:
    return ConfigError(what, expected=expected, remedy="leave it out to take the usual value")


def _not_finite(name: str) -> DataError:
    remedy = "look for pictures or weights that are not finite: catgan debug CONFIG"
    return DataError(f"{name}: values are not finite", expected="finite values", remedy=remedy)
