"""Can a feature network judge? Ladders of known damage must get growing distances.

    python -m benchmarks.ladder --source PICTURES.zip --write
    python -m benchmarks.ladder --source PICTURES.zip --sizes 64 --features model.h5,model.h5@16px

For each size, real training pictures are damaged in steps: blur, noise, checkerboard, less
contrast, fewer modes, strangers mixed in. Their kernel distance to held-out pictures is taken.
A network passes at a size if in every family each rung is farther than the one before, the
first farther than undamaged training pictures are, by more than twice the standard error of the
difference (a jackknife over blocks of pictures, the same for both rungs: they are mostly the same
pictures, so this error is smaller than that of a distance). Precision and recall of the rungs
stand beside them, to read those of a generator by. `--write` also stores the figures of the
networks that come with the program (`trainer/evaluation/ladders.json`), which `catgan evaluate`
prints as a scale; a network is taken unasked only where it passed.
"""

import argparse
import itertools
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.command import catgan
from benchmarks.ladder_damage import rungs
from benchmarks.processes import ROOT
from trainer.quiet import import_tensorflow

SCALES = ROOT / "trainer" / "evaluation" / "ladders.json"
_HEADER = ["kernel distance × 1000, and above the rung before"]
_BLOCKS = 10
# A rung must be farther than the one before by so many standard errors of the difference.
_SURE_ERRORS = 2.0
# Of a climb, in the file that comes with the program.
_KEPT = ("passed", "wrong", "weights_sha256", "rungs")


def main() -> None:
    options = parse()
    import_tensorflow()
    parts, scales = [], {}
    with timing.Watch() as watch:
        for size_px in map(int, options.sizes.split(",")):
            found = measured(size_px, options)
            parts.append(section(size_px, found, options.count))
            print(parts[-1], flush=True)
            for name, climb in found.items():
                kept = {key: climb[key] for key in _KEPT}
                scales.setdefault(name, {})[str(size_px)] = kept
    timing.publish(
        "ladder",
        "Ladders of known damage",
        ["tensorflow", "keras", "numpy"],
        watch.told_beside("a distance"),
        f"Pictures: {options.told or Path(options.source).name}, 20 % held out.",
        *parts,
        write=options.write,
    )
    if options.write:
        SCALES.write_text(json.dumps(scales, indent=1, ensure_ascii=False) + "\n", "utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="pictures, as for catgan prepare")
    parser.add_argument("--told", default="", help="what they are, for the table")
    parser.add_argument("--sizes", default="32,64,128")
    parser.add_argument(
        "--features",
        type=lambda text: text.split(","),
        default=["efficientnet-lite0", "efficientnet-lite0@16px"],
    )
    parser.add_argument("--count", type=int, default=800, help="pictures of a rung")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def measured(size_px: int, options: argparse.Namespace) -> dict[str, dict]:
    """Prepares the pictures in one size; returns each network's climb."""
    with tempfile.TemporaryDirectory() as folder:
        catgan("prepare", options.source, folder, "--size", size_px, "--val-fraction", 0.2)
        return {name: climbed(name, folder, options.count) for name in options.features}


def climbed(name: str, folder: str, count: int) -> dict:
    """Returns whether a network passed; distance, error, precision and recall of every rung."""
    from trainer.data.stream import open_dataset
    from trainer.evaluation import networks
    from trainer.evaluation.real import RealFeatures
    from trainer.scores import precision_recall

    dataset = open_dataset(folder, cache_mib=1, memory_mib=0, cache_dir="")
    network = networks.find(name)
    held_out = RealFeatures(dataset, "validation", network)
    real = held_out.first(held_out.count)
    train = RealFeatures(dataset, "train", network)
    pool = dataset.pictures("train", train.numbers(train.count))

    found, growths, shares = [], [], []

    def step(told: str, pictures: np.ndarray, before: Distance | None) -> Distance:
        features = network.features(pictures)
        distance = Distance.of(features, real)
        found.append([told, distance.value, distance.error])
        growths.append(distance.above(before) if before else (0.0, 0.0))
        shares.append(precision_recall(real[:count], features))
        print(name, *found[-1], *growths[-1], *shares[-1], file=sys.stderr, flush=True)
        return distance

    undamaged = step("undamaged", pool[:count], None)
    for _, family in itertools.groupby(rungs(), key=lambda rung: rung.family):
        last = undamaged
        for rung in family:
            last = step(rung.told, rung.apply(pool, count, np.random.default_rng(0)), last)
    steps = zip(found[1:], growths[1:], strict=True)
    wrong = [told for (told, *_), growth in steps if not is_sure(*growth)]
    return {"passed": not wrong, "wrong": wrong, "weights_sha256": network.weights_sha256,
            "rungs": found, "growths": growths, "precision_recall": shares}  # fmt: skip


def is_sure(growth: float, error: float) -> bool:
    """Whether a rung is farther than the one before, and not by chance."""
    return growth > _SURE_ERRORS * error


@dataclass(frozen=True)
class Distance:
    """A kernel distance, and what it is without one block of pictures of either side.

    Attributes:
        value: Of all.
        without: `[blocks]`.
    """

    value: float
    without: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, real: np.ndarray) -> "Distance":
        """Of rows `[n, d]` and `[m, d]`."""
        from trainer.scores import kernel_distance

        cuts = (np.array_split(np.arange(len(rows)), _BLOCKS) for rows in (features, real))
        without = [
            kernel_distance(np.delete(features, ours, 0), np.delete(real, theirs, 0))
            for ours, theirs in zip(*cuts, strict=True)
        ]
        return cls(kernel_distance(features, real), np.array(without))

    @property
    def error(self) -> float:
        """Its standard error by the jackknife."""
        return _jackknife(self.without)

    def above(self, other: "Distance") -> tuple[float, float]:
        """How much farther than another, and the error of that; blocks are paired."""
        return self.value - other.value, _jackknife(self.without - other.without)


def _jackknife(without: np.ndarray) -> float:
    spread = np.sum(np.square(without - without.mean()))
    return float(np.sqrt((len(without) - 1) / len(without) * spread))


def verdict(climb: dict) -> str:
    return "**passed**" if climb["passed"] else f"**failed** at {'; '.join(climb['wrong'])}"


def section(size_px: int, found: dict, count: int) -> str:
    rows = []
    for place, name in enumerate(rung[0] for rung in next(iter(found.values()))["rungs"]):
        rows.append([name, *(_cell(climb, place) for climb in found.values())])
    verdicts = [f"{name}: {verdict(climb)}" for name, climb in found.items()]
    tables = timing.table([*_HEADER, *found], rows), shares_table(found)
    return "\n\n".join([f"## {size_px} px, {count} pictures a rung", *tables, *verdicts])


def _cell(climb: dict, place: int) -> str:
    _, value, error = climb["rungs"][place]
    growth, its_error = climb["growths"][place]
    told = f"{1e3 * value:.2f} ± {1e3 * error:.2f}"
    return f"{told}, {1e3 * growth:+.2f} ± {1e3 * its_error:.2f}" if place else told


def shares_table(found: dict) -> str:
    """Precision and recall (k = 3) of every rung."""
    told = [rung[0] for rung in next(iter(found.values()))["rungs"]]
    columns = [
        [f"{precision:.3f}, {recall:.3f}" for precision, recall in climb["precision_recall"]]
        for climb in found.values()
    ]
    return timing.table(
        ["precision, recall", *found], [list(row) for row in zip(told, *columns, strict=True)]
    )


if __name__ == "__main__":
    main()
