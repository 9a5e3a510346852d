"""How long a report of a long run takes, what memory it needs, and how soon its page answers.

    python -m benchmarks.report
    python -m benchmarks.report --rows 100000 --rounds 5 --write

A run folder is written with so many rows of figures, 400 grids of 64 pictures of 64 px, walks and
answers; `catgan report` makes the page in a process of its own, whose time and peak memory count.
The page is then opened from disk in headless Chromium: it is interactive when its scripts are done;
charts are drawn when they come into sight, and here all at once. The first opening does not count.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.processes import ROOT
from trainer import config as configs
from trainer import storage
from trainer.callbacks import portrait
from trainer.gan import sampling
from trainer.run_folder import MetricsLog, NewRun, RunFolder, names

SIZE_PX, COUNT, GRIDS = 64, 64, 400
# Answers how long the page took from the click until all of its scripts are done: slider, tiles,
# walks, and charts ready to be drawn.
_READY = """() => new Promise((done) => {
  const ready = () => done(performance.now());
  if (document.readyState == "complete") ready();
  else window.addEventListener("load", ready);
})"""
# Answers how long all charts take that are asked for at once, as for a printer.
_DRAW = """() => new Promise((done) => {
  const began = performance.now();
  window.dispatchEvent(new Event("beforeprint"));
  const look = () => {
    const drawn = document.querySelectorAll(".place .bk-Figure").length;
    if (drawn == document.querySelectorAll(".place").length) done(performance.now() - began);
    else setTimeout(look, 5);
  };
  look();
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder) / "run", Path(folder) / "report.html"
        write_run(run, options.rows)
        # The browser's processes are no children of this one: they would be taken for others.
        with timing.Watch() as watch:
            made = [made_in(run, page) for _ in range(options.rounds)]
        opened, charts = open_page(page, options.rounds)
        size_mb = page.stat().st_size / 1e6
    secs = statistics.median(secs for secs, _ in made)
    peak_mb = max(peak for _, peak in made)
    rows = [
        ["making the page, s", f"{secs:.1f}", "≤ 10"],
        ["peak memory, MB", f"{peak_mb:.0f}", "≤ 500"],
        ["size of the page, MB", f"{size_mb:.1f}", "≤ 15"],
        ["from opening to interactive, s", opened, "≤ 1"],
        ["all charts at once, s", charts, ""],
    ]
    told = f"{options.rows:,} rows, {GRIDS} grids; median of {options.rounds}, memory the largest."
    timing.publish(
        "report", "The report of a long run", ["bokeh", "jinja2", "playwright"], watch, told,
        timing.table(["what", "figure", "to reach"], rows), write=options.write,
    )  # fmt: skip


def write_run(folder: Path, rows: int) -> None:
    """Writes a run as training leaves it."""
    run = RunFolder(storage.open_folder(str(folder)))
    settings = [f"run={run.address}", f"dataset.size_px={SIZE_PX}", f"training.steps={rows}"]
    start = run.claim_start(NewRun("long", "pictures", "f" * 32, "0" * 16), host="here")
    run.write_config(configs.to_yaml(configs.from_text("{}", settings)))
    run.settle_start(start, 0)
    draw = np.random.default_rng(0)
    write_rows(MetricsLog(run, start, 0), rows, draw)
    for step in np.linspace(0, rows, GRIDS, dtype=int):
        grid = sampling.grid(smooth(draw, COUNT))
        run.folder.write(names.sample(int(step)), sampling.png_bytes(grid))
    walked = smooth(draw, portrait.WALKS * portrait.FRAMES)
    logits = draw.normal(size=COUNT).tolist()
    told = {"step": rows, "fake_logits": logits, "real_logits": logits}
    portrait.write(run.folder, told, walked)
    run.end_start(start, "finished", "all steps are done", step=rows, images_seen=64 * rows)


def write_rows(log: MetricsLog, rows: int, draw: np.random.Generator) -> None:
    noise = draw.normal(size=(rows, 8))
    keys = ("d_loss", "d_loss_real", "d_loss_fake", "d_real_logit", "d_fake_logit", "g_loss",
            "r1_penalty", "r2_penalty")  # fmt: skip
    for step in range(1, rows + 1):
        log.append(
            {"step": step, "images_seen": 64 * step, "seconds": step * 0.1}
            | dict(zip(keys, noise[step - 1].tolist(), strict=True))
            | {"images_per_sec": 640.0, "data_wait_share": 0.01}
        )
    log.flush()


def smooth(draw: np.random.Generator, count: int) -> np.ndarray:
    """Soft pictures, whose files are as large as those of real ones, uint8 `[n, H, W, 3]`."""
    small = draw.normal(128, 50, (count, 8, 8, 3))
    large = small.repeat(SIZE_PX // 8, axis=1).repeat(SIZE_PX // 8, axis=2)
    return np.clip(large + draw.normal(0, 6, large.shape), 0, 255).astype(np.uint8)


def made_in(run: Path, page: Path) -> tuple[float, float]:
    """Returns seconds and peak memory, MB, of one `catgan report`."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "report", str(run), "--out", str(page)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"catgan report ended with {status}")
    return time.perf_counter() - began, peak_mb(used)


def peak_mb(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / 1e3


def open_page(page: Path, rounds: int) -> tuple[str, str]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        return "no Chromium here", ""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        opened, charts = [], []
        for _ in range(rounds + 1):
            tab = browser.new_page()
            tab.goto(page.as_uri(), wait_until="commit")
            opened.append(tab.evaluate(_READY))
            charts.append(tab.evaluate(_DRAW))
            tab.close()
        browser.close()
    return told(opened), told(charts)


def told(millis: list[float]) -> str:
    return f"{statistics.median(millis[1:]) / 1e3:.2f}"


if __name__ == "__main__":
    main()
