"""The training step on one GPU: precision, XLA, steps for one call, and PyTorch beside it.

    python -m benchmarks.gpu --write
    python -m benchmarks.gpu --only cats64-quick --rounds 3

Contestants have a process each (`gpu_contestants.py`), all on the same GPU, and take turns of
32 steps: 2 with penalties where penalties are due every 16 steps, as in a run. Pictures come
from host memory. A turn ends when the device has finished. PyTorch has one generator pass, as
ours, channels-last, fused Adam and cuDNN's own search for the quickest kernels; it takes part
where its networks exist (no batch norm).

*Share of the bound* is counted FLOP over time over the peak of the GPU's dense bfloat16
products (`--peak-tflops`), whatever the precision: what the hardware could do at best.
"""

import argparse
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.gpu_contestants import CONTESTANTS
from benchmarks.processes import ROOT, Contestant
from trainer import config as configs
from trainer.config import Config
from trainer.data.drawn import draw_cat

STEPS = 32
_BATCHES = 4
_HEADER = [
    "", "ms", "least, ms", "pictures/s", "TFLOP/s", "share of the bound", "peak memory, MB",
    "to PyTorch, bfloat16",
]  # fmt: skip
_AGAINST = "PyTorch, bfloat16"


@dataclass(frozen=True)
class Case:
    """A config and what is changed in it."""

    name: str
    file: str
    changes: tuple[str, ...] = ()


CASES = [
    Case("cats64-quick", "cats64-quick.yaml"),
    Case("cats64", "cats64.yaml"),
    Case("seed2018", "seed2018.yaml"),
    Case("cats128", "cats128.yaml"),
    Case("cats128 at 256 px", "cats128.yaml", ("dataset.size_px=256",)),
    Case("seed2018, batch 256", "seed2018.yaml", ("training.global_batch=256",)),
    Case("cats256", "cats256.yaml"),
    Case("cats64-quick, batch 512", "cats64-quick.yaml", ("training.global_batch=512",)),
]


def main() -> None:
    options = parse()
    parts = [gpu_in_words()]
    with timing.Watch() as watch:
        for case in CASES:
            if not options.only or case.name in options.only.split(","):
                parts.append(measured(case, options))
                print(parts[-1], flush=True)
                # A page after every case: what was measured stays if a later one fails.
                publish(options, watch, parts)
    publish(options, watch, parts)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help=", ".join(case.name for case in CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="H100 and H200: 989")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def publish(options: argparse.Namespace, watch: timing.Watch, parts: list[str]) -> None:
    packages = ["tensorflow", "keras", "torch", "numpy"]
    before = watch.told_before()
    timing.publish("gpu", "The step on one GPU", packages, before, *parts, write=options.write)


def gpu_in_words() -> str:
    """Name, memory and driver of the first GPU."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "**No GPU here: these are figures of the CPU.**"
    return f"GPU: {said.stdout.splitlines()[0]} (name, memory, driver)."


def measured(case: Case, options: argparse.Namespace) -> str:
    """Runs one case and returns its section."""
    config = configs.load(ROOT / "configs" / case.file, case.changes)
    names = [name for name in CONTESTANTS if "PyTorch" not in name or torch_can(config)]
    with tempfile.TemporaryDirectory() as temporary:
        started = start(config, names, Path(temporary))
        try:
            times = timing.interleaved(
                {n: lambda p=p: [p.call(ask="steps", count=STEPS)] for n, p in started.items()},
                options.rounds,
            )
            asked = {n: asked_of(process) for n, process in started.items()}
        finally:
            for process in started.values():
                process.close()
    gflop = max(answer["gflop"] for answer in asked.values())
    copy = max(answer["copy_ms"] for answer in asked.values())
    rows = [row(name, times, asked[name], config, gflop, options.peak_tflops) for name in started]
    return (
        f"## {case.name}\n\n{config.dataset.size_px} px, batch {config.training.global_batch}, "
        f"{config.model.base_channels} channels beside the picture, {gflop:.1f} GFLOP a step. "
        f"Device to host, all that a checkpoint holds: {copy:.1f} ms.\n\n"
        f"{timing.table(_HEADER, rows)}"
    )


def torch_can(config: Config) -> bool:
    return config.model.architecture == "dcgan" and config.model.generator_norm == "none"


def start(config: Config, names: list[str], folder: Path) -> dict[str, Contestant]:
    """Starts all at once, since compiling takes long, and waits until each has warmed up."""
    (folder / "config.yaml").write_text(configs.to_yaml(config), encoding="utf-8")
    np.save(folder / "pictures.npy", drawn_batches(config))
    files = [str(folder / "config.yaml"), str(folder / "pictures.npy")]

    def one(name: str) -> Contestant | str:
        process = Contestant(["benchmarks.gpu_contestants", name, *files])
        try:
            process.call(ask="steps", count=STEPS)
        except RuntimeError as error:
            return str(error)
        return process

    with ThreadPoolExecutor(len(names)) as pool:
        processes = dict(zip(names, pool.map(one, names), strict=True))
    for name, process in processes.items():
        if isinstance(process, str):
            print(f"{name} takes no part: {process}", flush=True)
    return {n: p for n, p in processes.items() if isinstance(p, Contestant)}


def drawn_batches(config: Config) -> np.ndarray:
    """uint8 `[_BATCHES, n, H, W, 3]`; at most 64 different pictures."""
    batch, size = config.training.global_batch, config.dataset.size_px
    cats = np.stack([draw_cat(index, config.seed, size)[0] for index in range(min(64, batch))])
    rows = np.arange(_BATCHES * batch) % len(cats)
    return cats[rows].reshape(_BATCHES, batch, size, size, 3)


def asked_of(process: Contestant) -> dict[str, float]:
    return {ask: process.call(ask=ask) for ask in ("gflop", "peak_mb", "copy_ms")}


def row(name: str, times: dict, asked: dict, config: Config, gflop: float, peak: float) -> list:
    secs = times[name].median
    tflops = gflop / 1e3 / secs
    against = timing.ratio(times[name], times[_AGAINST]).paired if _AGAINST in times else None
    return [
        name,
        f"{1e3 * secs:.2f}",
        f"{1e3 * times[name].least:.2f}",
        f"{config.training.global_batch / secs:,.0f}",
        f"{tflops:.1f}",
        f"{tflops / peak:.1%}",
        f"{asked['peak_mb']:,.0f}",
        f"{against:.2f}" if against else "",
    ]


if __name__ == "__main__":
    main()
