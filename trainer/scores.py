"""How alike two sets of pictures are, from their features. Pure functions of arrays.

Owns the arithmetic of the scores and their errors. Does not know pictures,
networks or files: features are rows `[n, d]`, whatever they were measured with.
All arithmetic is in float64, in blocks of rows, so that 50,000 rows need no
matrix of 50,000 by 50,000.
"""

from collections.abc import Iterator

import numpy as np

from trainer.errors import DataError

# Rows of one block: 1,024 by 50,000 distances are 400 MB.
_BLOCK_ROWS = 1024
_JACKKNIFE_BLOCKS = 10


def statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean `[d]` and the unbiased covariance `[d, d]` of features `[n, d]`, float64.

    Raises:
        DataError: There are fewer than two rows, or values that are not finite.
    """
    features = _checked("features", features, 2)
    mean = features.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((features.shape[1],) * 2)
    for _, block in _blocks(features):
        centred = block - mean
        scatter += centred.T @ centred
    return mean, scatter / (len(features) - 1)


def frechet_distance(
    mu1: np.ndarray, sigma1: np.ndarray, mu2: np.ndarray, sigma2: np.ndarray
) -> float:
    """Squared Fréchet distance of two normal distributions.

    |mu1 - mu2|^2 + tr(sigma1 + sigma2 - 2 (sigma1 sigma2)^(1/2)) (Dowson and Landau 1982;
    Heusel et al. 2017, eq. 6). Of Inception's features it is called FID.

    Args:
        mu1: `[d]`.
        sigma1: `[d, d]`, symmetric, no negative eigenvalues; may be singular.
        mu2: `[d]`.
        sigma2: `[d, d]`.

    Raises:
        DataError: Shapes do not agree, or values are not finite.
    """
    mu1, sigma1, mu2, sigma2 = (np.asarray(a, np.float64) for a in (mu1, sigma1, mu2, sigma2))
    if not (mu1.shape == mu2.shape and sigma1.shape == sigma2.shape == mu1.shape * 2):
        raise DataError(
            f"means {mu1.shape}, {mu2.shape} and covariances {sigma1.shape}, {sigma2.shape} do "
            "not belong together",
            expected="[d] and [d, d], the same d everywhere",
            remedy="measure both sets with the same feature network",
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
    return between + float(np.trace(sigma1) + np.trace(sigma2) - 2.0 * common)


def _root(sigma: np.ndarray) -> np.ndarray:
    """The symmetric root of a covariance; what is only rounding of zero is zero."""
    values, vectors = np.linalg.eigh(sigma)
    least = len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return (vectors * np.sqrt(np.where(values > least, values, 0.0))) @ vectors.T


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (a·b / d + 1)^3.

    KID where the features are Inception's (Bińkowski et al. 2018, section 4, all pairs instead of
    subsets). Unbiased, so it may be below zero.

    Args:
        x: `[n, d]`, at least two rows.
        y: `[m, d]`, at least two rows.

    Raises:
        DataError: Too few rows, unlike widths, or values that are not finite.
    """
    return _discrepancy(*_kernel_sums(*_pair(x, y, 2), blocks=1))


def kernel_distance_with_error(
    x: np.ndarray, y: np.ndarray, blocks: int = _JACKKNIFE_BLOCKS
) -> tuple[float, float]:
    """Returns `kernel_distance` and its standard error.

    The error is the delete-one-block jackknife's (Efron and Stein 1981) over blocks of both sets
    together: sqrt((B - 1) / B * sum of (value without block b - their mean)^2).

    Args:
        x: `[n, d]`, rows in no order; at least two for each block.
        y: `[m, d]`.
        blocks: B.
    """
    sums = _kernel_sums(*_pair(x, y, 2 * blocks), blocks=blocks)
    every = np.arange(blocks)
    without = np.array([_discrepancy(*sums, kept=every[every != block]) for block in every])
    spread = np.sum(np.square(without - without.mean()))
    return _discrepancy(*sums), float(np.sqrt((blocks - 1) / blocks * spread))


# Sums of the kernel between blocks [B, B] within x, within y, between both; rows of each block [B].
_Sums = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _kernel_sums(x: np.ndarray, y: np.ndarray, blocks: int) -> _Sums:
    parts_x, parts_y = np.array_split(x, blocks), np.array_split(y, blocks)

    def total(a: np.ndarray, b: np.ndarray) -> float:
        return sum(float(((rows @ b.T / b.shape[1] + 1.0) ** 3).sum()) for _, rows in _blocks(a))

    def own(a: np.ndarray) -> float:
        norms = np.einsum("ij,ij->i", a, a)
        return total(a, a) - float(((norms / a.shape[1] + 1.0) ** 3).sum())

    def within(parts: list[np.ndarray]) -> np.ndarray:
        sums = np.zeros((blocks, blocks))
        for i, a in enumerate(parts):
            sums[i, i] = own(a)
            for j in range(i):
                sums[i, j] = sums[j, i] = total(a, parts[j])
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

    Args:
        real: `[n, d]`.
        fake: `[m, d]`.
        k: A set's manifold are balls about its rows, as large as the k-th neighbour is far.

    Returns:
        The share of fake rows on the real manifold, and of real rows on the fake one.
    """
    real, fake = _pair(real, fake, k + 1)
    fake_radii = _radii(fake, k)
    recalled = np.concatenate(
        [(d < fake_radii[None]).any(axis=1) for _, d in _distances(real, fake)]
    )
    real_radii = _radii(real, k)
    precise = np.concatenate(
        [(d < real_radii[None]).any(axis=1) for _, d in _distances(fake, real)]
    )
    return float(precise.mean()), float(recalled.mean())


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, eq. 4 and 5).

    Args:
        real: `[n, d]`.
        fake: `[m, d]`.
        k: A real row's ball reaches to its k-th neighbour.

    Returns:
        Real balls about a fake row, in the mean and divided by k; the share of real balls with a
        fake row in them.
    """
    real, fake = _pair(real, fake, k + 1)
    radii = _radii(real, k)
    inside, covered = 0, 0
    for begin, distances in _distances(real, fake):
        own = radii[begin : begin + len(distances), None]
        inside += int((distances < own).sum())
        covered += int((distances.min(axis=1, keepdims=True) < own).sum())
    return inside / (k * len(fake)), covered / len(real)


def nearest(queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each query's nearest reference, int64 `[n]`, and its distance, float64 `[n]`.

    Args:
        queries: `[n, d]`.
        references: `[m, d]`.
    """
    queries, references = _pair(queries, references, 1)
    found = [(d.argmin(axis=1), d.min(axis=1)) for _, d in _distances(queries, references)]
    return np.concatenate([i for i, _ in found]), np.concatenate([d for _, d in found])


def memorised_share(
    fake: np.ndarray, held_out: np.ndarray, train: np.ndarray, percentile: float = 1.0
) -> float:
    """Share of fake rows that are nearer to a training row than new real pictures ever are.

    Args:
        fake: `[n, d]`.
        held_out: `[m, d]`, real pictures that were not trained on.
        train: `[t, d]`.
        percentile: Of held-out pictures' distances to their nearest training row; about this
            share, in percent, is found where nothing was memorised.
    """
    usual = np.percentile(nearest(held_out, train)[1], percentile)
    return float(np.mean(nearest(fake, train)[1] < usual))


def _radii(rows: np.ndarray, k: int) -> np.ndarray:
    """The distance of each row to its k-th neighbour, itself not counted."""
    radii = []
    for begin, distances in _distances(rows, rows):
        own = np.arange(len(distances))
        distances[own, begin + own] = 0.0
        radii.append(np.partition(distances, k, axis=1)[:, k])
    return np.concatenate(radii)


def _distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields Euclidean distances of all rows of `b` to a block of `a`, and where it begins."""
    norms = np.einsum("ij,ij->i", b, b)
    for begin, rows in _blocks(a):
        squares = -2.0 * (rows @ b.T)
        squares += np.einsum("ij,ij->i", rows, rows)[:, None]
        squares += norms
        yield begin, np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)


def _blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for begin in range(0, len(rows), _BLOCK_ROWS):
        yield begin, rows[begin : begin + _BLOCK_ROWS].astype(np.float64, copy=False)


def _pair(x: np.ndarray, y: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = _checked("the first set", x, least), _checked("the second set", y, least)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"features are {x.shape[1]} and {y.shape[1]} wide",
            expected="the same width",
            remedy="measure both sets with the same feature network",
        )
    return x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)


def _checked(name: str, features: np.ndarray, least: int) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2 or len(features) < least:
        raise DataError(
            f"{name} has the shape {list(features.shape)}",
            expected=f"[n, d] with at least {least} rows",
            remedy=f"measure at least {least} pictures",
        )
    if not np.isfinite(features).all():
        raise _not_finite(name)
    return features


def _not_finite(name: str) -> DataError:
    return DataError(
        f"{name}: there are values that are not finite",
        expected="finite features",
        remedy="look for pictures or weights that are not finite: catgan debug CONFIG",
    )
