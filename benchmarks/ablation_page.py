"""The page of `ablation.py`: a table for each size and time, and the arms' pictures.

Owns how arms are compared: by the median over seeds, and only if the gap exceeds the seeds' spread.
"""

import itertools
import json
import statistics
from collections.abc import Iterator

from benchmarks import timing
from benchmarks.ablation import VAL_FRACTION, prefix
from benchmarks.ablation_arms import ARMS, QUICK, SHIPPED

_NOISY_CORES = timing.QUIET_DURING
_AGAINST = ("seed2018", "seed2018-fixed", "keras-ada")


def page(rows: list[dict]) -> Iterator[str]:
    """Yields the parts of the page."""
    yield (
        "A fifth of the pictures is held out, where nothing else is said; as many are drawn and "
        "judged against those. Kernel distances (KID's arithmetic) are × 1000, of EfficientNet- "
        "Lite0 and of the same with pictures reduced to 16 px first; both passed their "
        "[ladder](ladder.md). Of several seeds the median stands with least and largest. *real* "
        "is what as many training pictures get. Compare within a table only: they are of "
        "different hours and machines. `cats64` is that config, `rate-1.6e-3` is "
        "`cats64-quick`, `fast-…` the same with one thing changed; what each piece costs a step "
        "[stands apart](options.md)."
    )
    for kind in sorted({_kind(row) for row in rows}):
        chosen = [row for row in rows if _kind(row) == kind]
        size_px, val_fraction, mins, precision, turn_secs = kind
        share = "" if val_fraction == VAL_FRACTION else f", {val_fraction:.0%} held out"
        turns = f", in turns of {turn_secs:g} s" if turn_secs else ""
        yield f"## {size_px} px{share}, {mins:g} minutes an arm, {precision}{turns}"
        refuse_unlike(chosen)
        yield "\n\n".join(sorted({row["described"] for row in chosen}))
        load = max(row["others_cores"] for row in chosen)
        yield f"Other processes used {load:.2f} cores meanwhile, at most."
        yield table(chosen)
        yield from verdicts(chosen)
        yield pictures(chosen, prefix(*kind))


def _kind(row: dict) -> tuple[int, float, float, str, float]:
    size_px, val_fraction = row["size_px"], row["val_fraction"]
    return size_px, val_fraction, row["mins"], row["precision"], row["turn_secs"]


def refuse_unlike(rows: list[dict]) -> None:
    """Raises ValueError where figures of one table are of unlike origin; old rows tell none."""
    told = [
        # Which pictures were drawn is no matter: those of a rival are files.
        json.dumps({n: {**o, "seed": None} for n, o in row["provenance"].items()}, sort_keys=True)
        for row in rows
        if "provenance" in row
    ]
    if len(set(told)) > 1:
        raise ValueError("figures of unlike origin in one table: " + "; ".join(sorted(set(told))))


def table(rows: list[dict]) -> str:
    arms = sorted({row["arm"] for row in rows}, key=lambda name: _worth(rows, name))
    header = [
        "arm", "recipe", "pictures seen", "distance", "precision", "recall",
        "distance at 16 px", "recall at 16 px",
    ]  # fmt: skip
    lines = [_line(name, [row for row in rows if row["arm"] == name]) for name in arms]
    judged = next((row for row in rows if "figures" in row), None)
    if judged:
        lines.append(["*real*", "training pictures", "", *_real(judged)])
    return timing.table(header, lines)


def _worth(rows: list[dict], name: str) -> float:
    values = _values([row for row in rows if row["arm"] == name], 0, "kernel_distance")
    return statistics.median(values) if values else float("inf")


def _line(name: str, rows: list[dict]) -> list[str]:
    noisy = any(row["others_cores"] > _NOISY_CORES for row in rows)
    seen = statistics.median(row["images_seen"] for row in rows)
    told = ARMS[name].told + (" (**noisy**)" if noisy else "")
    broken = [row["ended"] for row in rows if "figures" not in row]
    if broken:
        told = f"{told}; **{len(broken)} of {len(rows)} diverged**"
        return [name, told, f"{seen:,.0f}", "", "", "", "", ""]
    return [
        name,
        told,
        f"{seen:,.0f}",
        _spread(_values(rows, 0, "kernel_distance"), 1e3, "{:.1f}"),
        _spread(_values(rows, 0, "precision"), 1, "{:.3f}"),
        _spread(_values(rows, 0, "recall"), 1, "{:.3f}"),
        _spread(_values(rows, 1, "kernel_distance"), 1e3, "{:.1f}"),
        _spread(_values(rows, 1, "recall"), 1, "{:.3f}"),
    ]


def _values(rows: list[dict], network: int, figure: str) -> list[float]:
    return [
        list(row["figures"].values())[network][figure]["value"] for row in rows if "figures" in row
    ]


def _real(row: dict) -> list[str]:
    full, small = row["figures"].values()
    return [
        f"{1e3 * full['kernel_distance']['baseline']:.1f}",
        f"{full['precision']['baseline']:.3f}",
        f"{full['recall']['baseline']:.3f}",
        f"{1e3 * small['kernel_distance']['baseline']:.1f}",
        f"{small['recall']['baseline']:.3f}",
    ]


def _spread(values: list[float], factor: float, form: str) -> str:
    told = form.format(factor * statistics.median(values))
    if len(values) == 1:
        return told
    ends = " to ".join(form.format(factor * end) for end in (min(values), max(values)))
    return f"{told} ({ends})"


def verdicts(rows: list[dict]) -> Iterator[str]:
    """Yields how the shipped recipes stand against those that they have to beat."""
    of = {arm: [row for row in rows if row["arm"] == arm] for arm in (SHIPPED, QUICK, *_AGAINST)}
    for name, other in itertools.product((SHIPPED, QUICK), _AGAINST):
        ours, theirs = (_values(of[arm], 0, "kernel_distance") for arm in (name, other))
        if not ours or not theirs:
            continue
        ratio = statistics.median(ours) / statistics.median(theirs)
        told = f"`{name}` has {ratio:.2f} of the distance of `{other}`, {_certainty(ours, theirs)}"
        yield "; ".join([told, *_diverged(name, of[name]), *_diverged(other, of[other])]) + "."


def _certainty(ours: list[float], theirs: list[float]) -> str:
    """Whether the difference of the medians, either way, can be chance."""
    if len(ours) == 1 or len(theirs) == 1:
        which = "each" if len(ours) == len(theirs) else "on one side"
        return f"one seed {which}: what seeds differ by is not known"
    apart = max(ours) < min(theirs) or max(theirs) < min(ours)
    return f"{'beyond' if apart else '**within**'} the seeds' spread"


def _diverged(name: str, rows: list[dict]) -> list[str]:
    broken = sum("figures" not in row for row in rows)
    return [f"**{broken} of {len(rows)} seeds of `{name}` diverged**"] if broken else []


def pictures(rows: list[dict], arms: str) -> str:
    names = sorted({row["arm"] for row in rows}, key=lambda name: _worth(rows, name))
    lines = [[name, f"![{name}](ablation/{arms}-{name}-0.webp)"] for name in names]
    return timing.table(["arm", "its first pictures, seed 0"], lines)
