"""From features to figures: which metrics there are, what they need, and how they are told.

Owns the list of metrics, the fewest pictures that each one takes, and the baseline beside
every figure: the same number for real pictures of the other split, held out or not. The arithmetic
is `trainer.scores`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainer import scores
from trainer.errors import ConfigError, DataError

METRICS = ("fid", "kid", "pr", "dc", "nearest")
# Ten blocks of ten rows for the error of a kernel distance; a hundred shares of one percent.
_FEWEST = 100
# A run's own training pictures cannot be held out afterwards.
HOLD_OUT_MORE = "hold out more (prepare --val-fraction) and train again"
PRECISION_RECALL_K, DENSITY_COVERAGE_K = 3, 5


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        value: Of the judged pictures against the real ones.
        baseline: Of real pictures of the other split in their place, as many; None: too few.
        error: Standard error of `value`, where one is known.
        baseline_error: Of `baseline`.
    """

    value: float
    baseline: float | None = None
    error: float | None = None
    baseline_error: float | None = None


@dataclass(frozen=True)
class Features:
    """Rows of one network for everything that a metric may need.

    Attributes:
        fake: `[n, d]`, judged.
        real: `[n, d]`, the real pictures they are compared with.
        other: `[n, d]` of the other split, for the baseline; None: there are not so many.
        held_out, train: All rows of both splits, for `nearest`; None: not asked for.
    """

    fake: np.ndarray
    real: np.ndarray
    other: np.ndarray | None
    held_out: np.ndarray | None = None
    train: np.ndarray | None = None

    @cached_property
    def nearest_of_fake(self) -> tuple[np.ndarray, np.ndarray]:
        """Places `[n]` of the judged rows' nearest training rows, and their distances `[n]`."""
        return scores.nearest(self.fake, _asked_for(self.train))

    @cached_property
    def usual_distances(self) -> np.ndarray:
        """Distances of held-out rows to their nearest training rows, `[m]`."""
        return scores.nearest(_asked_for(self.held_out), _asked_for(self.train))[1]


def _asked_for(rows: np.ndarray | None) -> np.ndarray:
    if rows is None:
        raise ValueError("nearest needs the features of both splits")
    return rows


def check_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """Returns the metrics in our order; raises ConfigError for unknown ones and for none."""
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise ConfigError(
            f"metrics {', '.join(unknown) or 'are none'}",
            expected=f"some of {', '.join(METRICS)}",
            remedy="--metrics kid,pr",
        )
    return tuple(name for name in METRICS if name in metrics)


def needed(metric: str, width: int) -> int:
    """Fewest pictures on each side. A covariance of no more rows than columns is singular."""
    return width + 1 if metric == "fid" else _FEWEST


def refuse_too_few(metric: str, width: int, count: int) -> None:
    """Raises DataError where there are too few pictures for a metric."""
    least = needed(metric, width)
    if count < least:
        why = f", for features of {width:,} numbers" if metric == "fid" else ""
        side = "held-out pictures" if metric == "nearest" else "pictures on each side"
        other = "" if metric == "nearest" else "take --split train, "
        raise DataError(
            f"{metric} of {count:,} {side}",
            expected=f"{least:,} or more{why}",
            remedy=f"{HOLD_OUT_MORE}, {other}or another metric; a folder that is judged needs as "
            "many (generate --count)",
        )


def refuse_what_no_network_can(metrics: Sequence[str], held_out: int) -> None:
    """Raises DataError where a run that is to be measured holds out too few, whatever judges it."""
    if metrics and held_out < _FEWEST:
        raise DataError(
            f"{held_out:,} held-out pictures are too few for {metrics[0]}, so the run could never "
            "be measured",
            expected=f"{_FEWEST:,} or more",
            remedy="prepare a data set with a greater dataset.val_fraction, or set "
            "evaluation.every_steps=0",
        )


def measure(metric: str, rows: Features) -> dict[str, Figure]:
    """Returns the figures of one metric by name."""
    return _MEASURES[metric](rows)


def _frechet(rows: Features) -> dict[str, Figure]:
    real = scores.statistics(rows.real)

    def distance(other: np.ndarray) -> float:
        return scores.frechet_distance(*scores.statistics(other), *real)

    baseline = None if rows.other is None else distance(rows.other)
    return {"frechet_distance": Figure(distance(rows.fake), baseline)}


def _kernel(rows: Features) -> dict[str, Figure]:
    value, error = scores.kernel_distance_with_error(rows.fake, rows.real)
    if rows.other is None:
        return {"kernel_distance": Figure(value, error=error)}
    baseline, baseline_error = scores.kernel_distance_with_error(rows.other, rows.real)
    return {"kernel_distance": Figure(value, baseline, error, baseline_error)}


def _pairs(names: tuple[str, str], measure, k: int, rows: Features) -> dict[str, Figure]:
    values = measure(rows.real, rows.fake, k)
    baselines = (None, None) if rows.other is None else measure(rows.real, rows.other, k)
    return {n: Figure(v, b) for n, v, b in zip(names, values, baselines, strict=True)}


def _precision_recall(rows: Features) -> dict[str, Figure]:
    measure = scores.precision_recall
    return _pairs(("precision", "recall"), measure, PRECISION_RECALL_K, rows)


def _density_coverage(rows: Features) -> dict[str, Figure]:
    measure = scores.density_coverage
    return _pairs(("density", "coverage"), measure, DENSITY_COVERAGE_K, rows)


def _nearest(rows: Features) -> dict[str, Figure]:
    share = scores.memorised_share(rows.nearest_of_fake[1], rows.usual_distances)
    # By its definition: the first percentile of the held-out pictures' own distances.
    return {"memorised_share": Figure(share, 0.01)}


_MEASURES = {
    "fid": _frechet,
    "kid": _kernel,
    "pr": _precision_recall,
    "dc": _density_coverage,
    "nearest": _nearest,
}
