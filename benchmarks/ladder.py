"""Can a feature network judge? Ladders of known damage must get growing distances.

    python -m benchmarks.ladder --source PICTURES.zip --write
    python -m benchmarks.ladder --source PICTURES.zip --sizes 64 --features model.h5,model.h5@16px

For each size, real training pictures are damaged in steps: blur, noise, checkerboard, less
contrast, fewer modes, strangers mixed in. Their kernel distance to held-out pictures is taken.
A network passes at a size if in every family each rung is farther than the one before, the
first farther than undamaged training pictures are. Precision and recall of the rungs stand beside
them, to read those of a generator by. `--write` also stores the figures of the
networks that come with the program (`trainer/evaluation/ladders.json`), which `catgan evaluate`
prints as a scale; a network is taken unasked only where it passed.
"""

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.command import catgan
from benchmarks.ladder_damage import Rung, rungs
from benchmarks.processes import ROOT
from trainer.quiet import import_tensorflow

SCALES = ROOT / "trainer" / "evaluation" / "ladders.json"
_HEADER = ["kernel distance × 1000"]
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
    from trainer.scores import kernel_distance_with_error, precision_recall

    dataset = open_dataset(folder, cache_mib=1, memory_mib=0, cache_dir="")
    network = networks.find(name)
    held_out = RealFeatures(dataset, "validation", network)
    real = held_out.first(held_out.count)
    train = RealFeatures(dataset, "train", network)
    pool = dataset.pictures("train", train.numbers(train.count))

    found, shares = [], []

    def step(told: str, pictures: np.ndarray) -> None:
        features = network.features(pictures)
        found.append([told, *kernel_distance_with_error(features, real)])
        shares.append(precision_recall(real[:count], features))
        print(name, *found[-1], *shares[-1], file=sys.stderr, flush=True)

    step("undamaged", pool[:count])
    for rung in rungs():
        step(rung.told, rung.apply(pool, count, np.random.default_rng(0)))
    wrong = falls(found)
    return {"passed": not wrong, "wrong": wrong, "weights_sha256": network.weights_sha256,
            "rungs": found, "precision_recall": shares}  # fmt: skip


def falls(found: list) -> list[str]:
    """Names the rungs that are no farther than the one before."""
    undamaged, distances = found[0][1], dict(zip(map(_key, rungs()), found[1:], strict=True))
    wrong = []
    for _, family in itertools.groupby(rungs(), key=lambda rung: rung.family):
        last = undamaged
        for rung in family:
            told, distance, _ = distances[_key(rung)]
            if distance <= last:
                wrong.append(told)
            last = distance
    return wrong


def verdict(climb: dict) -> str:
    return "**passed**" if climb["passed"] else f"**failed** at {'; '.join(climb['wrong'])}"


def _key(rung: Rung) -> tuple[str, str]:
    return rung.family, rung.told


def section(size_px: int, found: dict, count: int) -> str:
    rows = []
    for place, name in enumerate(rung[0] for rung in next(iter(found.values()))["rungs"]):
        cells = [climb["rungs"][place] for climb in found.values()]
        rows.append(
            [name, *(f"{1e3 * value:.2f} ± {1e3 * error:.2f}" for _, value, error in cells)]
        )
    verdicts = [f"{name}: {verdict(climb)}" for name, climb in found.items()]
    tables = timing.table([*_HEADER, *found], rows), shares_table(found)
    return "\n\n".join([f"## {size_px} px, {count} pictures a rung", *tables, *verdicts])


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
