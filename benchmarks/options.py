"""What each piece of the recipe costs: its mean step against the plain one.

    python -m benchmarks.options
    python -m benchmarks.options --rounds 15 --write

The plain step is that of `configs/cats64.yaml` without penalties, augmentation, schedules or
clipping. All contestants are `GAN.train_step` in this process, one after the other on the same
pictures. Where a penalty is due every 16th step, plain and penalty steps are timed apart and the
mean step is (15 plain + penalty) / 16.
"""

import argparse
import time
from dataclasses import dataclass

from benchmarks import timing
from benchmarks.processes import ROOT
from benchmarks.step import drawn_batches, summary
from benchmarks.step_contestants import Ours
from trainer import config as configs

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


PIECES = (
    Piece(PLAIN),
    Piece("R1", most=1.10, penalties=("loss.r2_weight=0",)),
    Piece("R1 and R2 (as shipped)", penalties=()),
    Piece("gradient penalty", ("loss.gradient_penalty_weight=10",)),
    Piece(
        "colour, translation, cutout", ("augment.kinds=[colour, translation, cutout]",), most=1.05
    ),
    Piece("geometric", ("augment.kinds=[geometric]",), most=1.20),
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
    Piece("relativistic average", ("loss.name=relativistic_average",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    base = configs.load(ROOT / "configs" / "cats64.yaml")
    with timing.Watch() as watch:
        body = measured(options.rounds)
    timing.publish(
        "options",
        "What each piece costs",
        ["tensorflow", "keras", "numpy"],
        watch,
        f"{summary(base)}; on drawn cats.",
        body,
        write=options.write,
    )


def measured(rounds: int) -> str:
    """Runs all pieces in turn and returns the table."""
    turns, every = {}, {}
    for piece in PIECES:
        words = [*piece.penalties, *piece.overrides]
        config = configs.load(ROOT / "configs" / "cats64.yaml", words)
        contestant = Ours(config, drawn_batches(config))
        turns[piece.label, False] = turn(contestant, False)
        if config.loss.has_penalty:
            every[piece.label] = config.loss.penalty_every_steps
            turns[piece.label, True] = turn(contestant, True)
    config = configs.load(ROOT / "configs" / "cats64.yaml", NO_PENALTY)
    without = Ours(config, drawn_batches(config))
    without.leave_out_average()
    turns[NO_AVERAGE, False] = turn(without, False)
    return table(timing.interleaved(turns, rounds), every)


def turn(contestant: Ours, with_penalty: bool):
    def run() -> list[float]:
        secs = []
        for _ in range(STEPS[with_penalty]):
            began = time.perf_counter()
            contestant.step(with_penalty)
            secs.append(time.perf_counter() - began)
        return secs

    return run


def table(times: dict, every: dict[str, int]) -> str:
    """Mean steps and their ratios to the plain one."""
    plain = times[PLAIN, False]
    rows = []
    for piece in PIECES:
        mean = times[piece.label, False]
        if piece.label in every:
            mean = timing.mixed(mean, times[piece.label, True], every[piece.label])
        rows.append(row(piece.label, mean, plain, piece.most))
    rows.append(row("averaged generator", plain, times[NO_AVERAGE, False], 1.02))
    return timing.table(["piece", "mean step, ms", "times without it", "to reach"], rows)


def row(
    label: str, mean: timing.Series, without: timing.Series, most: float | None
) -> list[object]:
    ratio = timing.ratio(mean, without).paired
    verdict = ""
    if most is not None:
        verdict = f"≤ {most:.2f}: {'reached' if ratio <= most else '**missed**'}"
    return [label, f"{1e3 * mean.median:.1f}", f"**{ratio:.3f}**", verdict]


if __name__ == "__main__":
    main()
