"""Curves of runs: which rows and measurements become which lines, and how many points of them.

Owns the choice of charts and the thinning of long series. Does not draw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.evaluation.result import Result
from trainer.report.compare import measured
from trainer.report.run_view import RunView

MOST_POINTS = 2000
"""Points of a line; a chart is not wider in pixels."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        label: In the legend.
        images: Pictures seen, float64 `[n]`, growing.
        values: float64 `[n]`.
        errors: Standard errors, float64 `[n]`; None: none are known.
        run: Number of the run it is of.
    """

    label: str
    images: np.ndarray
    values: np.ndarray
    errors: np.ndarray | None = None
    run: int = 0


@dataclass(frozen=True)
class Chart:
    """Lines over the same pictures.

    Attributes:
        title: What is shown.
        unit: Of the values.
        lines: At least one.
        about: With what it was measured, or how to read it.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    about: str = ""


def thinned(
    images: np.ndarray, values: np.ndarray, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Leaves points out so that no extreme is lost: of each stretch its least and its largest.

    Args:
        images: float64 `[n]`.
        values: float64 `[n]`.
        most: Points that are left at most, and as many stretches in pairs.
    """
    if len(values) <= most:
        return images, values
    kept = [0, len(values) - 1]
    for part in np.array_split(np.arange(len(values)), (most - 2) // 2):
        kept += [part[np.argmin(values[part])], part[np.argmax(values[part])]]
    places = np.unique(kept)
    return images[places], values[places]


def _row_line(run: RunView, label: str, take: Callable[[Row], float | None]) -> Line | None:
    points = [
        (row["images_seen"], value)
        for row in run.rows
        if isinstance(row.get("images_seen"), int | float) and (value := take(row)) is not None
    ]
    if not points:
        return None
    images, values = thinned(*np.array(points, np.float64).T)
    return Line(label, images, values)


def _figure(key: str) -> Callable[[Row], float | None]:
    def take(row: Row) -> float | None:
        return _number(row.get(key))

    return take


def _margin(row: Row) -> float | None:
    real, fake = _number(row.get("d_real_logit")), _number(row.get("d_fake_logit"))
    return None if real is None or fake is None else real - fake


def _number(value: object) -> float | None:
    """A stranger's row may hold anything."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


# Title, unit, lines of a run, how to read it.
_ROW_CHARTS: tuple[tuple[str, str, dict[str, Callable[[Row], float | None]], str], ...] = (
    (
        "Losses",
        "",
        {"discriminator": _figure("d_loss"), "generator": _figure("g_loss")},
        "A loss that falls is no sign of better pictures; one that reaches zero is a bad sign.",
    ),
    (
        "Discriminator's margin",
        "logit",
        {"D(real) − D(fake)": _margin},
        "How far apart D holds real and generated pictures: near 0 it is lost, far above it wins",
    ),
    (
        "Gradient penalties",
        "",
        {
            "R1": _figure("r1_penalty"),
            "R2": _figure("r2_penalty"),
            "gradient penalty": _figure("gradient_penalty"),
        },
        "",
    ),
    ("Augmentation", "strength", {"strength": _figure("augment_strength")}, ""),
    ("Speed", "pictures/s", {"pictures/s": _figure("images_per_sec")}, ""),
    ("Waiting for data", "share", {"share": _figure("data_wait_share")}, ""),
)


def charts(runs: Sequence[RunView], names: Sequence[str]) -> list[Chart]:
    """Returns the charts of one run, or of several over one another.

    Args:
        runs: At least one.
        names: Of each, for the legend.
    """
    return [*_measured_charts(runs, names), *_row_charts(runs, names)]


def _row_charts(runs: Sequence[RunView], names: Sequence[str]) -> list[Chart]:
    found = []
    for title, unit, wanted, about in _ROW_CHARTS:
        for part in _parts(title, wanted, split=len(runs) > 1):
            lines = _lines(runs, names, part[1])
            if lines:
                found.append(Chart(part[0], unit, lines, about))
    return found


def _parts(title: str, wanted: dict[str, Any], *, split: bool) -> list[tuple[str, dict[str, Any]]]:
    """Several runs get a chart for each line of one run: else colours would mean two things."""
    if not split or len(wanted) == 1:
        return [(title, wanted)]
    return [(f"{title}: {label}", {label: take}) for label, take in wanted.items()]


def _lines(
    runs: Sequence[RunView], names: Sequence[str], wanted: dict[str, Any]
) -> tuple[Line, ...]:
    lines = []
    for number, (run, name) in enumerate(zip(runs, names, strict=True)):
        for label, take in wanted.items():
            line = _row_line(run, name if len(runs) > 1 else label, take)
            if line is not None and np.any(line.values):
                lines.append(Line(line.label, line.images, line.values, None, number))
    return tuple(lines)


def _measured_charts(runs: Sequence[RunView], names: Sequence[str]) -> list[Chart]:
    """A chart for each figure and provenance: what was measured otherwise stands apart."""
    groups: dict[tuple[str, str], list[tuple[int, int, Result]]] = {}
    for number, run in enumerate(runs):
        for _, images, result in measured(run):
            for figure in result.figures:
                groups.setdefault((figure, repr(result.provenance)), []).append(
                    (number, images, result)
                )
    return [_measured_chart(figure, found, names) for (figure, _), found in sorted(groups.items())]


def _measured_chart(
    figure: str, found: list[tuple[int, int, Result]], names: Sequence[str]
) -> Chart:
    lines = []
    for number in sorted({run for run, _, _ in found}):
        own = [(images, result.figures[figure]) for run, images, result in found if run == number]
        images = np.array([at for at, _ in own], np.float64)
        values = np.array([one.value for _, one in own], np.float64)
        known = all(one.error is not None for _, one in own)
        errors = np.array([one.error for _, one in own], np.float64) if known else None
        lines.append(Line(names[number], images, values, errors, number))
    result = found[-1][2]
    told = told_provenance(result, figure)
    if figure == "kernel_distance" and len(lines) == 1:
        told = "; ".join([told, *(f"at the end, {line}" for line in result.scale())])
    return Chart(result.label(figure), "", tuple(lines), told)


def told_provenance(result: Result, figure: str) -> str:
    """Says with what a figure was measured, and what real pictures get."""
    origin = result.provenance
    told = (
        f"{origin.features}, weights {origin.weights_sha256[:12]}, {origin.resizer}; "
        f"{origin.count:,} pictures on each side, real ones of {origin.split}, "
        f"data set {origin.fingerprint[:12]}, {origin.size_px} px"
    )
    baseline = result.figures[figure].baseline
    if baseline is None:
        return told
    if figure == "memorised_share":
        return f"{told}; held-out pictures get {baseline:.4f} by definition"
    return f"{told}; real pictures of the other split get {baseline:.4f}"
