"""Which recipe draws the best cats for its time? Every arm has the same minutes on this machine.

    python -m benchmarks.ablation --source PICTURES.zip --size 32 --mins 3
    python -m benchmarks.ablation --source PICTURES.zip --size 64 --mins 8 --seeds 3 \\
        --arms seed2018,seed2018-fixed,keras-ada,plain
    python -m benchmarks.ablation --source PICTURES.zip --size 64 --mins 20 --precision bfloat16 \\
        --rate 118000 --seeds 3 --arms cats64,seed2018,seed2018-fixed,keras-ada
    python -m benchmarks.ablation --write

A fifth of the pictures is held out. Each arm trains from nothing (`catgan train`,
`training.max_mins`), then as many pictures as are held out are judged against those
(`catgan evaluate`). Seeds are the outer loop, so that a slow hour falls on all arms. What is
measured goes into `results/ablation.json` at once and is not measured again; `--write` makes the
page of it. `--rate` of pictures a minute is measured first with the plain recipe, because
schedules must know how many pictures there will be; arms whose step is longer have a `pace`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks import timing
from benchmarks.ablation_arms import ARMS, BASE_CHANNELS, KERAS_ADA, SCREENED, Arm
from benchmarks.processes import ROOT
from trainer import config as configs

FOUND = timing.RESULTS / "ablation.json"
GRIDS = timing.RESULTS / "ablation"
NETWORK = "efficientnet-lite0"
FEATURES = (NETWORK, f"{NETWORK}@16px")
_GRID = (12, 3)
_ENDLESS_STEPS = 900_000_000


def main() -> None:
    options = parse()
    if options.source:
        work = Path(options.work or tempfile.mkdtemp(prefix="ablation-"))
        dataset = prepared(options.source, work, options.size)
        for seed in range(options.seeds):
            for name in options.arms:
                if not known(options, name, seed):
                    keep(measured(ARMS[name], seed, dataset, work, options))
    if options.write:
        from benchmarks.ablation_page import page

        title = "Which recipe draws the best cats for its time"
        timing.keep_page("ablation", title, *page(rows()), write=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="pictures, as for catgan prepare")
    parser.add_argument("--size", type=int, default=32, help="height and width, px")
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
    return json.loads(FOUND.read_text("utf-8")) if FOUND.exists() else []


def known(options: argparse.Namespace, name: str, seed: int) -> bool:
    want = {"arm": name, "seed": seed, "size_px": options.size, "mins": options.mins}
    return any(
        want.items() <= row.items() and precision_of(row) == options.precision for row in rows()
    )


def precision_of(row: dict) -> str:
    """Of all networks of the row's table; older rows do not say it."""
    return row.get("precision", "float32")


def keep(row: dict) -> None:
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.write_text(json.dumps([*rows(), row], indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(row), flush=True)


def prepared(source: str, work: Path, size_px: int) -> Path:
    folder = work / f"{size_px}px"
    if not (folder / "manifest.json").exists():
        catgan("prepare", source, folder, "--size", size_px, "--val-fraction", 0.2)
    return folder


def measured(arm: Arm, seed: int, dataset: Path, work: Path, options: argparse.Namespace) -> dict:
    """Trains one arm and judges it; the row of the table."""
    name = f"{prefix(options.size, options.mins, options.precision)}-{arm.name}-{seed}"
    with timing.Watch() as watch:
        if arm.name == KERAS_ADA:
            subject, images, ended = trained_rival(name, seed, dataset, work, options)
        else:
            subject, images, ended = trained(arm, name, seed, dataset, work, options)
    row = {
        "arm": arm.name, "seed": seed, "size_px": options.size, "mins": options.mins,
        "precision": options.precision, "planned_per_min": options.rate * arm.pace,
        "images_seen": images, "ended": ended, "others_cores": round(watch.during, 2),
        "described": timing.described("tensorflow", "keras", "numpy"),
    }  # fmt: skip
    if subject is None:
        return row
    keep_grid(subject, work / f"{name}-drawn", name)
    return {**row, **judged(subject, dataset)}


def prefix(size_px: int, mins: float, precision: str) -> str:
    """What the names of a table's runs and grids begin with."""
    told = "" if precision == "float32" else f"-{precision}"
    return f"{size_px}px-{mins:g}min{told}"


def trained(arm: Arm, name: str, seed: int, dataset: Path, work: Path, options) -> tuple:
    """Runs `catgan train` for the given minutes.

    Returns:
        Address of what to judge (None if nothing came of it), pictures seen, how it ended.
    """
    run = work / name
    images = options.rate * arm.pace * options.mins
    common = [
        f"run={run}",
        f"seed={seed}",
        f"dataset.address={dataset}",
        f"dataset.size_px={options.size}",
        "dataset.val_fraction=0.2",
        f"model.base_channels={BASE_CHANNELS}",
        f"precision={options.precision}",
        f"training.max_mins={options.mins}",
        f"training.steps={_ENDLESS_STEPS}",
        "checkpoint.every_steps=1000000",
        "samples.every_steps=1000000",
        "metrics.every_steps=100",
    ]
    words = [*common, *arm.changes, *schedules(arm, images)]
    done = catgan("train", ROOT / "configs" / f"{arm.config}.yaml", *words, check=False)
    if done.returncode:
        return None, 0, done.stderr.strip().splitlines()[-1][:200]
    return run, json.loads(catgan("inspect", run, "--json").stdout)["images_seen"], "stopped"


def schedules(arm: Arm, images: float) -> list[str]:
    """Returns the recipe's schedules with the length of the run that the minutes allow."""
    recipe = configs.flat(configs.load(ROOT / "configs" / f"{arm.config}.yaml", arm.changes))
    found = {key: value for key, value in recipe.items() if " to " in str(value)}
    if found and not images:
        raise SystemExit("schedules need --rate: pictures a minute, as the plain recipe saw them")
    return [f"{key}={value} over {images:.0f}" for key, value in found.items()]


def trained_rival(name: str, seed: int, dataset: Path, work: Path, options) -> tuple:
    folder = work / name
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ablation_keras_ada", str(dataset), str(folder),
         "--mins", str(options.mins), "--seed", str(seed), "--precision", options.precision],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return folder, json.loads(done.stdout.splitlines()[-1])["images_seen"], "stopped"


def judged(subject: Path, dataset: Path) -> dict:
    """Figures with their errors and what training pictures get, by network."""
    said = catgan(
        "evaluate", subject, "--against", dataset, "--metrics", "kid,pr",
        "--features", ",".join(FEATURES), "--json",
    )  # fmt: skip
    results = json.loads(said.stdout)["results"]
    return {"figures": {result["provenance"]["features"]: result["figures"] for result in results}}


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


def catgan(*words: object, check: bool = True) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainer", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, check=check, capture_output=True, text=True)


if __name__ == "__main__":
    main()
