"""Which recipe draws the best cats for its time? Every arm has the same minutes on this machine.

    python -m benchmarks.ablation --source PICTURES.zip --size 32 --mins 3
    python -m benchmarks.ablation --source PICTURES.zip --size 64 --mins 8 --seeds 3 \\
        --arms seed2018,seed2018-fixed,keras-ada,plain
    python -m benchmarks.ablation --source PICTURES.zip --size 64 --mins 20 --precision bfloat16 \\
        --rate 118000 --seeds 3 --arms cats64,seed2018,seed2018-fixed,keras-ada
    python -m benchmarks.ablation --source 600_PICTURES.zip --size 32 --mins 3 --rate 260000 \\
        --val-fraction 0.5 --arms few,few-ramp,few-ramp-all,few-ada,few-ada-all
    python -m benchmarks.ablation --write

A fifth of the pictures is held out, or another share. The arms of a seed train from nothing
(`catgan train`) and in turns, each alone on the machine for some seconds, so that its slow minutes
fall on all of them; each has the same minutes in all, starting included. Then as many pictures as
are held out are judged against those (`catgan evaluate`). What is measured goes into
`results/ablation.json` after each round and is not measured again; `--write` makes the page of it.
`--rate` of pictures a minute is measured first with the plain recipe, because schedules must know
how many pictures there will be; arms whose step is longer have a `pace`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from benchmarks import timing
from benchmarks.ablation_arms import ARMS, BASE_CHANNELS, KERAS_ADA, SCREENED, Arm
from benchmarks.processes import ROOT
from benchmarks.turns import TURN_SECS, take_turns
from trainer import config as configs
from trainer.errors import InterruptedRun

FOUND = timing.RESULTS / "ablation.json"
GRIDS = timing.RESULTS / "ablation"
NETWORK = "efficientnet-lite0"
FEATURES = (NETWORK, f"{NETWORK}@16px")
VAL_FRACTION = 0.2
_GRID = (12, 3)
_ENDLESS_STEPS = 900_000_000
# Arms that take turns with each other; each holds some gigabytes all the while.
_TOGETHER = 4


def main() -> None:
    options = parse()
    if options.source:
        work = Path(options.work or tempfile.mkdtemp(prefix="ablation-"))
        dataset = prepared(options.source, work, options.size, options.val_fraction)
        for seed in range(options.seeds):
            missing = [ARMS[name] for name in options.arms if not known(options, name, seed)]
            for first in range(0, len(missing), _TOGETHER):
                arms = missing[first : first + _TOGETHER]
                for row in measured(arms, seed, dataset, work, options):
                    keep(row)
    if options.write:
        from benchmarks.ablation_page import page

        title = "Which recipe draws the best cats for its time"
        timing.keep_page("ablation", title, *page(rows()), write=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="pictures, as for catgan prepare")
    parser.add_argument("--size", type=int, default=32, help="height and width, px")
    parser.add_argument("--val-fraction", type=float, default=VAL_FRACTION, help="held out")
    parser.add_argument("--mins", type=float, default=3.0, help="of training, for each arm")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(SCREENED))
    parser.add_argument("--rate", type=float, default=0, help="pictures a minute, for schedules")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--work", help="folder for data set and runs")
    parser.add_argument("--write", action="store_true", help="write the page")
    return parser.parse_args()


def rows() -> list[dict]:
    """Everything measured so far, in the order it was."""
    found = json.loads(FOUND.read_text("utf-8")) if FOUND.exists() else []
    return [{"val_fraction": VAL_FRACTION, **row} for row in found]


def known(options: argparse.Namespace, name: str, seed: int) -> bool:
    want = {"arm": name, "seed": seed, "turn_secs": TURN_SECS, **_kind(options)}
    return any(want.items() <= row.items() for row in rows())


def _kind(options: argparse.Namespace) -> dict:
    return {
        "size_px": options.size,
        "val_fraction": options.val_fraction,
        "mins": options.mins,
        "precision": options.precision,
    }


def keep(row: dict) -> None:
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.write_text(json.dumps([*rows(), row], indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(row), flush=True)


def prepared(source: str, work: Path, size_px: int, val_fraction: float) -> Path:
    folder = work / f"{size_px}px{held_out(val_fraction)}"
    if not (folder / "manifest.json").exists():
        catgan("prepare", source, folder, "--size", size_px, "--val-fraction", val_fraction)
    return folder


def held_out(val_fraction: float) -> str:
    """A part of names, where another share than the usual one is held out."""
    return "" if val_fraction == VAL_FRACTION else f"-{val_fraction:.0%}-held-out".replace("%", "")


def measured(arms: list[Arm], seed: int, dataset: Path, work: Path, options) -> Iterator[dict]:
    """Trains arms in turns, then judges them; yields their rows of the table."""
    kind = prefix(options.size, options.val_fraction, options.mins, options.precision, TURN_SECS)
    places = {arm.name: work / f"{kind}-{arm.name}-{seed}" for arm in arms}
    logs = work / f"{kind}-{seed}-logs"
    commands = {arm.name: command(arm, seed, dataset, places[arm.name], options) for arm in arms}
    for place in places.values():
        # Of a try that was never judged: it would go on, for as long again.
        shutil.rmtree(place, ignore_errors=True)
    with timing.Watch() as watch:
        codes = take_turns(commands, 60 * options.mins, logs)
    for arm in arms:
        said = (logs / f"{arm.name}.log").read_text("utf-8").splitlines()
        row = {
            "arm": arm.name, "seed": seed, **_kind(options), "turn_secs": TURN_SECS,
            "planned_per_min": options.rate * arm.pace,
            "others_cores": round(watch.during, 2),
            "described": timing.described("tensorflow", "keras", "numpy"),
        }  # fmt: skip
        if codes[arm.name] not in (0, InterruptedRun.exit_code):
            yield {**row, "images_seen": 0, "ended": " ".join(said[-3:])[:300]}
            continue
        place = places[arm.name]
        keep_grid(place, work / f"{place.name}-drawn", place.name)
        seen = images_seen(arm, place, said)
        yield {**row, "images_seen": seen, "ended": "stopped", **judged(place, dataset)}


def prefix(size_px: int, val_fraction: float, mins: float, precision: str, turn_secs: float) -> str:
    """What the names of a table's runs and grids begin with."""
    told = "" if precision == "float32" else f"-{precision}"
    turns = "-turns" if turn_secs else ""
    return f"{size_px}px{held_out(val_fraction)}-{mins:g}min{told}{turns}"


def command(arm: Arm, seed: int, dataset: Path, place: Path, options) -> list[str]:
    """The words of a training that goes on until it is interrupted."""
    if arm.name == KERAS_ADA:
        rival = ["benchmarks.ablation_keras_ada", dataset, place]
        words = [*rival, "--seed", seed, "--precision", options.precision]
        return [sys.executable, "-m", *map(str, words)]
    settings = [
        f"run={place}",
        f"seed={seed}",
        f"dataset.address={dataset}",
        f"dataset.size_px={options.size}",
        f"dataset.val_fraction={options.val_fraction}",
        f"model.base_channels={BASE_CHANNELS}",
        f"precision={options.precision}",
        f"training.steps={_ENDLESS_STEPS}",
        "checkpoint.every_steps=1000000",
        "samples.every_steps=1000000",
        "metrics.every_steps=100",
        # One that diverges ends, instead of beginning again at half its rates.
        "training.max_rollbacks=0",
        *arm.changes,
        *schedules(arm, options.rate * arm.pace * options.mins),
    ]
    config = ROOT / "configs" / f"{arm.config}.yaml"
    return [sys.executable, "-m", "trainer", "train", str(config), *settings]


def images_seen(arm: Arm, place: Path, said: list[str]) -> int:
    """Of a training that ended; `said` are the lines it wrote."""
    if arm.name == KERAS_ADA:
        return json.loads(next(line for line in said if line.startswith("{")))["images_seen"]
    return json.loads(catgan("inspect", place, "--json").stdout)["images_seen"]


def schedules(arm: Arm, images: float) -> list[str]:
    """Returns the recipe's schedules with the length of the run that the minutes allow."""
    recipe = configs.flat(configs.load(ROOT / "configs" / f"{arm.config}.yaml", arm.changes))
    found = {key: value for key, value in recipe.items() if " to " in str(value)}
    if found and not images:
        raise SystemExit("schedules need --rate: pictures a minute, as the plain recipe saw them")
    return [f"{key}={value} over {images:.0f}" for key, value in found.items()]


def judged(subject: Path, dataset: Path) -> dict:
    """Figures with their errors and what training pictures get, and their origin, by network."""
    said = catgan(
        "evaluate", subject, "--against", dataset, "--metrics", "kid,pr",
        "--features", ",".join(FEATURES), "--json",
    )  # fmt: skip
    results = json.loads(said.stdout)["results"]
    by_network = {result["provenance"]["features"]: result for result in results}
    return {
        key: {name: result[key] for name, result in by_network.items()}
        for key in ("figures", "provenance")
    }


def keep_grid(subject: Path, folder: Path, name: str) -> None:
    """Keeps the first pictures as one small file beside the table."""
    columns, lines = _GRID
    if (subject / "run.json").exists():
        catgan("generate", subject, "--out", folder, "--count", columns * lines)
        subject = folder
    files = sorted(subject.glob("*.png"))[: columns * lines]
    size_px = Image.open(files[0]).width
    sheet = Image.new("RGB", (columns * size_px, lines * size_px))
    for place, file in enumerate(files):
        across, down = place % columns, place // columns
        sheet.paste(Image.open(file), (across * size_px, down * size_px))
    GRIDS.mkdir(parents=True, exist_ok=True)
    sheet.save(GRIDS / f"{name}.webp", quality=85)


def catgan(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainer", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
