"""What each piece of the recipe costs: its mean step against the plain one.

    python -m benchmarks.options
    python -m benchmarks.options --processes 7 --write
    python -m benchmarks.options --only cats64 --processes 3 --rounds 3

The plain step is that of a shipped config without penalties, augmentation, schedules or clipping:
`cats64-quick.yaml` with every piece, `cats64.yaml` with those whose cost is bounded. Contestants
are `GAN.train_step` in one process, one after the other on the same pictures. Where a penalty is
due every 16th step, plain and penalty steps are timed apart and the mean step is (15 plain +
penalty) / 16. Where a process' memory happens to lie makes one contestant some percent faster than
another for as long as it lives, so several processes are asked, each begins with another
contestant, and the median of their ratios counts.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

from benchmarks import timing
from benchmarks.processes import ROOT, Contestant, serve
from benchmarks.step import drawn_batches, summary
from benchmarks.step_contestants import Ours
from trainer import config as configs

BARE = (
    "augment.kinds=[]",
    "augment.strength=1",
    "generator_optimizer.rate=4e-4",
    "discriminator_optimizer.rate=4e-4",
)
NO_PENALTY = ("loss.r1_weight=0", "loss.r2_weight=0")
PLAIN, NO_AVERAGE = "plain", "plain, without the averaged generator"
# Steps of a turn, without and with a penalty.
STEPS = {False: 6, True: 2}


@dataclass(frozen=True)
class Piece:
    """One row: what is set besides the plain step, and what it may cost."""

    label: str
    overrides: tuple[str, ...] = ()
    most: float | None = None
    penalties: tuple[str, ...] = NO_PENALTY

    @property
    def without_average(self) -> bool:
        """Whether it is timed by leaving it out."""
        return self.label == NO_AVERAGE


PIECES = (
    Piece(PLAIN),
    Piece("R1", most=1.10, penalties=("loss.r2_weight=0",)),
    Piece("R2", penalties=("loss.r1_weight=0",)),
    Piece("R1 and R2 (as shipped)", penalties=()),
    Piece("gradient penalty", ("loss.gradient_penalty_weight=10",)),
    Piece(
        "colour, translation, cutout", ("augment.kinds=[colour, translation, cutout]",), most=1.05
    ),
    Piece("geometric", ("augment.kinds=[geometric]",), most=1.20),
    Piece(
        "hinge; colour, translation, cutout, adaptive",
        (
            "loss.name=hinge",
            "augment.kinds=[colour, translation, cutout]",
            "augment.strength=adaptive",
        ),
    ),
    Piece(
        "schedules of rates and half-life",
        (
            "generator_optimizer.rate=2e-4 to 5e-5",
            "discriminator_optimizer.rate=2e-4 to 5e-5",
            "ema.half_life_images=0 to 15000",
        ),
    ),
    Piece("clip_norm", ("generator_optimizer.clip_norm=1", "discriminator_optimizer.clip_norm=1")),
    Piece("spectral norm", ("model.spectral_norm=true",)),
    Piece("low-pass doubling", ("model.upsampling=low_pass",)),
    Piece("hinge", ("loss.name=hinge",)),
    Piece("non-saturating", ("loss.name=non_saturating",)),
    Piece("least squares", ("loss.name=least_squares",)),
    Piece("relativistic average", ("loss.name=relativistic_average",)),
    Piece("two updates of D", ("training.discriminator_updates=2",)),
    Piece("both updates from one pass", ("training.update=simultaneous",)),
    Piece(NO_AVERAGE, most=1.02),
)
BOUNDED = tuple(piece for piece in PIECES if piece.label == PLAIN or piece.most)
CASES = {"cats64-quick": PIECES, "cats64": BOUNDED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7, help="in each process")
    parser.add_argument("--only", default=",".join(CASES), help="configs, with commas")
    parser.add_argument("--answers", action="store_true", help="be one of the processes")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.answers:
        serve(costs)
        return
    with timing.Watch() as watch:
        parts = [section(name, options) for name in options.only.split(",")]
    timing.publish(
        "options",
        "What each piece costs",
        ["tensorflow", "keras", "numpy"],
        watch,
        f"On drawn cats. Medians of {options.processes} processes, least and largest in brackets.",
        *parts,
        write=options.write,
    )


def section(name: str, options: argparse.Namespace) -> str:
    """Asks the processes about one config, one after the other."""
    found = []
    for number in range(options.processes):
        with Contestant(["benchmarks.options", "--answers"]) as process:
            found.append(process.call(name=name, rounds=options.rounds, first=number))
    base = configs.load(ROOT / "configs" / f"{name}.yaml")
    return f"## {name}\n\n{summary(base)}.\n\n{table(CASES[name], found)}"


def costs(name: str, rounds: int, first: int) -> dict[str, tuple[float, float]]:
    """Mean step in seconds, and times the step without the piece, of all in this process.

    Args:
        name: Which of `CASES`.
        rounds: In which each has a turn.
        first: Which of them is built and begins; whole, any.
    """
    turns, every, pieces = {}, {}, CASES[name]
    first %= len(pieces)
    for piece in (*pieces[first:], *pieces[:first]):
        words = [*BARE, *piece.penalties, *piece.overrides]
        config = configs.load(ROOT / "configs" / f"{name}.yaml", words)
        contestant = Ours(config, drawn_batches(config))
        if piece.without_average:
            contestant.leave_out_average()
        turns[piece.label, False] = turn(contestant, False)
        if config.loss.has_penalty:
            every[piece.label] = config.loss.penalty_every_steps
            turns[piece.label, True] = turn(contestant, True)
    times = timing.interleaved(turns, rounds)
    means = {piece.label: times[piece.label, False] for piece in pieces}
    for label, steps in every.items():
        means[label] = timing.mixed(means[label], times[label, True], steps)
    return {label: (mean.median, _ratio(means, label)) for label, mean in means.items()}


def _ratio(means: dict[str, timing.Series], label: str) -> float:
    if label == NO_AVERAGE:
        return timing.ratio(means[PLAIN], means[label]).paired
    return timing.ratio(means[label], means[PLAIN]).paired


def turn(contestant: Ours, with_penalty: bool):
    def run() -> list[float]:
        secs = []
        for _ in range(STEPS[with_penalty]):
            began = time.perf_counter()
            contestant.step(with_penalty)
            secs.append(time.perf_counter() - began)
        return secs

    return run


def table(pieces: tuple[Piece, ...], found: list[dict[str, tuple[float, float]]]) -> str:
    """One row a piece."""
    header = ["piece", "mean step, ms", "times the step without it", "to reach"]
    return timing.table(header, [row(piece, found) for piece in pieces])


def row(piece: Piece, found: list[dict[str, tuple[float, float]]]) -> list[object]:
    # What the averaged generator costs is told by the plain step, which has it.
    secs = [each[PLAIN if piece.without_average else piece.label][0] for each in found]
    ratios = [each[piece.label][1] for each in found]
    ratio = statistics.median(ratios)
    verdict = ""
    if piece.most is not None:
        verdict = f"≤ {piece.most:.2f}: {'reached' if ratio <= piece.most else '**missed**'}"
    told = f"**{ratio:.3f}** ({min(ratios):.3f} to {max(ratios):.3f})"
    return [
        "averaged generator" if piece.without_average else piece.label,
        f"{1e3 * statistics.median(secs):.1f}",
        "1" if piece.label == PLAIN else told,
        verdict,
    ]


if __name__ == "__main__":
    main()
