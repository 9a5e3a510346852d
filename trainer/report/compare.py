"""Several runs side by side: what differs in their configs, how good, how fast.

Owns which figures may stand in one line: those that were measured alike (network, weights,
counts, real pictures). What was not is said, not shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer import config as configs
from trainer.errors import ConfigError
from trainer.evaluation.result import Evaluation, Result, unlike
from trainer.report.run_view import RunView, read_run

# Where something lies makes no other run.
_NO_RECIPE = ("run", "dataset.address", "dataset.cache_dir")
_SPEED = ("images_per_sec", "data_wait_share", "seconds")
_DISTANCES = ("kernel_distance", "frechet_distance")


@dataclass(frozen=True)
class Compared:
    """What several runs have in common and what not.

    Attributes:
        names: A short name of each run, all different.
        addresses: Of each.
        standing: `{what: one value for each run}`: status, step, pictures, speed.
        settings: Keys that are not the same in all, with each run's value.
        figures: `{label: best value of each run, or None}`, all measured alike.
        unlike: Labels that were measured, but not alike, and how they differ.
    """

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    standing: dict[str, tuple[Any, ...]]
    settings: dict[str, tuple[Any, ...]]
    figures: dict[str, tuple[dict[str, Any] | None, ...]]
    unlike: dict[str, str]


def compare(addresses: Sequence[str]) -> Compared:
    """Reads runs and compares them.

    Raises:
        ConfigError: Fewer than two, or one twice.
        CheckpointError, StorageError: See `read_run`.
    """
    runs = [read_run(address) for address in addresses]
    found = [run.address for run in runs]
    if len(set(found)) < max(2, len(found)):
        raise ConfigError(
            f"{len(found)} addresses of {len(set(found))} runs",
            expected="two different runs, or more",
            remedy="catgan compare runs/one runs/another",
        )
    return compared(runs)


def compared(runs: Sequence[RunView]) -> Compared:
    """Compares runs that were read."""
    figures, not_alike = _figures(runs)
    return Compared(
        short_names([run.address for run in runs]),
        tuple(run.address for run in runs),
        _standing(runs),
        settings(runs),
        figures,
        not_alike,
    )


def short_names(addresses: Sequence[str]) -> tuple[str, ...]:
    """Returns the ends of the addresses, as long as they must be to differ."""
    parts = [address.rstrip("/").split("/") for address in addresses]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(addresses)


def settings(runs: Sequence[RunView]) -> dict[str, tuple[Any, ...]]:
    """Returns the keys whose values are not the same in all runs, with the values of each."""
    first = runs[0].config
    changed = [configs.differences(first, run.config) for run in runs]
    keys = [key for key in configs.all_keys() if any(key in one for one in changed)]
    told = {}
    for key in keys:
        if key not in _NO_RECIPE:
            base = next(one[key][0] for one in changed if key in one)
            told[key] = tuple(one[key][1] if key in one else base for one in changed)
    return told


def _standing(runs: Sequence[RunView]) -> dict[str, tuple[Any, ...]]:
    told: dict[str, tuple[Any, ...]] = {
        "status": tuple(run.record.status for run in runs),
        "step": tuple(run.record.step for run in runs),
        "images_seen": tuple(run.record.images_seen for run in runs),
        "starts": tuple(len(run.record.starts) for run in runs),
    }
    for key in _SPEED:
        told[key] = tuple(run.last_row.get(key) for run in runs)
    return told


def measured(run: RunView) -> list[tuple[int, int, Result]]:
    """Returns (step, images_seen, result) of all that was measured of a run."""
    return [
        (int(told["step"]), int(told["images_seen"]), result)
        for told in run.evaluations
        for result in Evaluation.from_dict(told).results
    ]


def _figures(runs: Sequence[RunView]) -> tuple[dict[str, tuple], dict[str, str]]:
    by_label: dict[str, list[list[tuple[int, Result]]]] = {}
    for place, run in enumerate(runs):
        for step, _, result in measured(run):
            for figure in result.figures:
                cells = by_label.setdefault(result.label(figure), [[] for _ in runs])
                cells[place].append((step, result))
    figures, not_alike = {}, {}
    for label, cells in by_label.items():
        results = [result for cell in cells for _, result in cell]
        differs = unlike(results)
        name = next(f for f in results[0].figures if results[0].label(f) == label)
        if differs:
            not_alike[label] = ", ".join(differs)
        else:
            figures[label] = tuple(_best(cell, name) for cell in cells)
    return figures, not_alike


def _best(cell: list[tuple[int, Result]], name: str) -> dict[str, Any] | None:
    """The least distance of a run, or what else was measured of the checkpoint that has it."""
    if not cell:
        return None
    judge = next((d for d in _DISTANCES if all(d in r.figures for _, r in cell)), None)
    chosen = min(cell, key=lambda item: item[1].figures[judge].value) if judge else cell[-1]
    step, result = chosen
    figure = result.figures[name]
    return {"step": step, "value": figure.value, "error": figure.error, "baseline": figure.baseline}
