"""Our training step against the same step as one would write it.

    python -m benchmarks.step                                      # both configs
    python -m benchmarks.step --only cats64-quick --rounds 9 --write
    python -m benchmarks.step --torch-python other/bin/python      # PyTorch lives elsewhere

Contestants, each in a process of its own that sleeps while it is not its turn (PyTorch's
OpenMP threads and TensorFlow's disturb each other inside one process; alone, both had their
best times in our trials):
- *ours*: `GAN.train_step` as shipped, through its `StepRunner`;
- *(a)*: `step_two_pass.py`, two generator passes in Keras; once more with our quick layers,
  to tell their share from that of the single pass;
- *(b)*: `step_torch.py`, the same in PyTorch, in the memory format that is faster here; once
  more with one pass, for information.
All have the same pictures, widths, losses, penalties, averaging and number of threads. With
penalties every 16 steps, plain and penalty steps are timed apart and the mean step is
(15 plain + penalty) / 16.

On a CPU without AVX-512 VNNI, TensorFlow leaves oneDNN off unless told otherwise, as we tell
it. There (a) also runs under these defaults; `--onednn 0` shows such a row anywhere.
"""

import argparse
import contextlib
import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.processes import ROOT, Contestant
from trainer import config as configs
from trainer.config import Config
from trainer.data.drawn import draw_cat

BATCHES = 4
SMALL_2018 = ("training.global_batch=16", "model.base_channels=16")
OURS, SIMULTANEOUS = "ours", "ours, simultaneous"
TWO_PASS, QUICK = "(a) two passes, Keras", "(a) with our quick layers"
DEFAULTS = "(a) under TensorFlow's defaults (oneDNN off)"
TORCH, TORCH_ONE = "(b) two passes, PyTorch", "(b) with one pass"


@dataclass(frozen=True)
class Target:
    """A ratio to reach: `of` against `to`, at most `most`."""

    of: str
    to: str
    most: float


@dataclass(frozen=True)
class Entrant:
    """How a contestant of a table is started."""

    label: str
    kind: str
    python: str = sys.executable
    environment: tuple[tuple[str, str], ...] = ()


def main() -> None:
    options = parse()
    parts = []
    packages = ["tensorflow", "keras", "numpy"]
    with timing.Watch() as watch:
        for name, measure in {"cats64-quick": quick, "seed2018": seed2018}.items():
            if name in options.only.split(","):
                parts.append(measure(options))
    timing.publish("step", "The training step", packages, watch, *parts, write=options.write)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="cats64-quick,seed2018")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--configs", type=Path, default=ROOT / "configs")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument(
        "--onednn",
        type=int,
        choices=(0, 1),
        default=int(timing.has_vnni()),
        help="0: also (a) with oneDNN off; default: what TensorFlow does by itself here",
    )
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def quick(options: argparse.Namespace) -> str:
    """`configs/cats64-quick.yaml` as shipped."""
    config = configs.load(options.configs / "cats64-quick.yaml")
    entrants = [
        Entrant(OURS, "ours"),
        Entrant(TWO_PASS, "two-pass"),
        Entrant(QUICK, "two-pass-quick"),
    ]
    targets = [Target(OURS, TWO_PASS, 0.92)]
    if not options.onednn:
        entrants.append(
            Entrant(DEFAULTS, "two-pass", environment=(("TF_ENABLE_ONEDNN_OPTS", "0"),))
        )
        targets.append(Target(OURS, DEFAULTS, 0.65))
    note = f"PyTorch is left out: {options.torch_python} has none (`--torch-python`)."
    with contest(config) as start:
        if has_torch(options.torch_python):
            kind, note = faster_format(start, options.torch_python)
            entrants.append(Entrant(TORCH, kind, options.torch_python))
            entrants.append(Entrant(TORCH_ONE, "torch-one-pass", options.torch_python))
            targets.append(Target(OURS, TORCH, 0.8))
        body = measured(start, config, entrants, targets, options.rounds, (6, 2))
    return f"## cats64-quick, as shipped\n\n{summary(config)}. {note}\n\n{body}"


def seed2018(options: argparse.Namespace) -> str:
    """The 2018 networks, narrower, with fewer pictures a step."""
    config = configs.load(options.configs / "seed2018.yaml", SMALL_2018)
    entrants = [
        Entrant(OURS, "ours"),
        Entrant(SIMULTANEOUS, "ours-simultaneous"),
        Entrant(TWO_PASS, "two-pass"),
    ]
    targets = [Target(OURS, TWO_PASS, 0.91), Target(SIMULTANEOUS, TWO_PASS, 0.84)]
    with contest(config) as start:
        body = measured(start, config, entrants, targets, options.rounds, (2, 0))
    return f"## seed2018, narrower\n\n{summary(config)}.\n\n{body}"


def summary(config: Config) -> str:
    loss = config.loss
    penalties = f"penalties every {loss.penalty_every_steps} steps" if loss.has_penalty else ""
    return ", ".join(
        filter(
            None,
            [
                f"{config.dataset.size_px} px",
                f"batch {config.training.global_batch}",
                f"{config.model.base_channels} channels beside the picture",
                loss.name.replace("_", " "),
                penalties,
            ],
        )
    )


@contextlib.contextmanager
def contest(config: Config):
    """Gives a function that starts an entrant on the config and pictures of this contest."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        (folder / "config.yaml").write_text(configs.to_yaml(config), encoding="utf-8")
        np.save(folder / "pictures.npy", drawn_batches(config))

        def start(entrant: Entrant) -> Contestant:
            files = [str(folder / "config.yaml"), str(folder / "pictures.npy")]
            return stack.enter_context(
                Contestant(
                    ["benchmarks.step_contestants", entrant.kind, *files],
                    python=entrant.python,
                    environment=dict(entrant.environment),
                )
            )

        yield start


def drawn_batches(config: Config) -> np.ndarray:
    """uint8 `[BATCHES, n, H, W, 3]`."""
    batch, size = config.training.global_batch, config.dataset.size_px
    cats = [draw_cat(index, config.seed, size)[0] for index in range(BATCHES * batch)]
    return np.stack(cats).reshape(BATCHES, batch, size, size, 3)


def has_torch(python: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec("torch") is not None
    return Path(python).exists()


def faster_format(start, python: str) -> tuple[str, str]:
    """Times PyTorch in both memory formats; returns the contestant to take, and a note."""
    processes = {
        kind: start(Entrant(kind, kind, python)) for kind in ("torch", "torch-channels-last")
    }
    turns = {kind: turn(process, 4, False) for kind, process in processes.items()}
    times = timing.interleaved(turns, 3)
    version = processes["torch"].call(ask="version")
    plain, last = times["torch"].median, times["torch-channels-last"].median
    faster = "torch" if plain < last else "torch-channels-last"
    for process in processes.values():
        process.close()
    note = (
        f"PyTorch {version}: a plain step takes {1e3 * last:.0f} ms in channels-last and "
        f"{1e3 * plain:.0f} ms in its own format; the faster takes part."
    )
    return faster, note


def turn(process: Contestant, steps: int, with_penalty: bool):
    return lambda: process.call(ask="steps", steps=steps, with_penalty=with_penalty)


def measured(start, config, entrants, targets, rounds: int, steps: tuple[int, int]) -> str:
    """Runs the contest and returns its tables. `steps`: plain and penalty steps of a turn."""
    processes = {entrant.label: start(entrant) for entrant in entrants}
    turns = {(label, False): turn(p, steps[0], False) for label, p in processes.items()}
    if config.loss.has_penalty:
        turns |= {(label, True): turn(p, steps[1], True) for label, p in processes.items()}
    times = timing.interleaved(turns, rounds)
    flops = {label: process.call(ask="flops") for label, process in processes.items()}
    flops = {label: found or flops[TWO_PASS] for label, found in flops.items()}
    if TORCH_ONE in flops:
        flops[TORCH_ONE] = flops[OURS]
    return Result(config, times, flops).tables(targets)


class Result:
    """Times and operations of a contest, as tables."""

    def __init__(self, config: Config, times: dict, flops: dict) -> None:
        self._times, self._flops = times, flops
        self._every = config.loss.penalty_every_steps if config.loss.has_penalty else 0
        self._labels = list(flops)

    def mean(self, label: str) -> timing.Series:
        """The mean step."""
        plain = self._times[label, False]
        return timing.mixed(plain, self._times[label, True], self._every) if self._every else plain

    def mean_flops(self, label: str) -> float:
        """Operations of the mean step."""
        flops = self._flops[label]
        more = (flops["penalty"] - flops["plain"]) / self._every if self._every else 0
        return flops["plain"] + more

    def tables(self, targets: list[Target]) -> str:
        """Times of all, then the ratios of ours."""
        return f"{self._step_table()}\n\n{self._ratio_table(targets)}"

    def _step_table(self) -> str:
        header = ["", "plain step, ms", "penalty step, ms", "mean step, ms", "least, ms", "GFLOP"]
        rows = []
        for label in self._labels:
            kinds = [self._times.get((label, due)) for due in (False, True)]
            mean = self.mean(label)
            rows.append(
                [
                    label,
                    *(f"{1e3 * kind.median:.1f}" if kind else "" for kind in kinds),
                    f"{1e3 * mean.median:.1f}",
                    f"{1e3 * mean.least:.1f}",
                    f"{self.mean_flops(label) / 1e9:.2f}",
                ]
            )
        return timing.table(header, rows)

    def _ratio_table(self, targets: list[Target]) -> str:
        header = ["ratio", "plain", "penalty", "mean", "of medians", "of least", "FLOP", "to reach"]
        most = {(target.of, target.to): target.most for target in targets}
        ours = [label for label in (OURS, SIMULTANEOUS) if label in self._labels]
        pairs = [(a, b) for a in ours for b in self._labels if b not in ours]
        return timing.table(header, [self._ratio_row(a, b, most.get((a, b))) for a, b in pairs])

    def _ratio_row(self, of: str, to: str, most: float | None) -> list[str]:
        kinds = [
            f"{timing.ratio(self._times[of, due], self._times[to, due]).paired:.3f}"
            if (of, due) in self._times
            else ""
            for due in (False, True)
        ]
        mean = timing.ratio(self.mean(of), self.mean(to))
        verdict = ""
        if most is not None:
            verdict = f"≤ {most}: {'reached' if mean.paired <= most else '**missed**'}"
        return [
            f"{of} / {to}",
            *kinds,
            f"**{mean.paired:.3f}**",
            f"{mean.medians:.3f}",
            f"{mean.least:.3f}",
            f"{self.mean_flops(of) / self.mean_flops(to):.3f}",
            verdict,
        ]


if __name__ == "__main__":
    main()
