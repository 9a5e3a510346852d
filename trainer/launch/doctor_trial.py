"""A short piece of the very run, to learn what it costs: speed, memory, checkpoint, time, money.

Owns how the piece differs from the run (where it lies, how long it lasts, what it saves),
and what follows from it. It is trained by `trainer.launch.door` like any other, and removed.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainer import checkpoint, console, storage
from trainer.config import Config
from trainer.data.shards import MANIFEST_NAME
from trainer.errors import TrainingError
from trainer.launch import door
from trainer.launch.doctor_watch import Watch, read_notes
from trainer.launch.finding import Finding, ok, warning
from trainer.launch.machines import grace_secs
from trainer.launch.scratch import only_tried, scratch_folder
from trainer.launch.starting import Options
from trainer.progress import Interval
from trainer.run_folder import RunFolder, names, read_metrics

TRIAL_SECS = 30.0
"""How long the piece trains, compilation included."""

# Ray tells of a node that drains at most so late (`ray start --block` polls).
_NOTICE_SECS = 5.0
# A wish to stop is said in one call of the step and heard in the next.
_CALLS_TO_AGREE = 2
_DRAWN = 256
_COMPILING_ROWS, _LEAST_ROWS = 2, 3
_FULL_SHARE = 0.9


@dataclass(frozen=True)
class Trial:
    """What the piece showed.

    Attributes:
        start_secs: From the command to the first row: cluster, import, networks, compilation.
        step_secs: Of a mean step, penalty steps and waiting for data in their share.
        grid_secs: Of one grid of samples.
        checkpoint_secs: To write one, from here.
        checkpoint_bytes: Of one.
        notes: Of each rank: memory it used and what there is.
    """

    start_secs: float
    step_secs: float
    grid_secs: float
    checkpoint_secs: float
    checkpoint_bytes: int
    notes: list[dict[str, Any]]


def tried(config: Config, address: str | None, secs: float = TRIAL_SECS) -> Trial:
    """Trains a piece of the run and removes it.

    Args:
        config: Of the run, which is not touched.
        address: Of a Ray cluster, or None.
        secs: How long it trains.

    Raises:
        CatganError: It could not be trained; that is what the run would have met.
    """
    with only_tried(), scratch_folder(f"{config.run.rstrip('/')}-doctor") as scratch:
        piece = _piece(config, scratch, secs)
        began = time.time()
        options = Options(address=address, callbacks=Watch(scratch.address))
        door.train(piece, options)
        return _read(piece, scratch, began)


def _piece(config: Config, scratch: storage.Folder, secs: float) -> Config:
    """Returns the config of the piece: the same work, in a folder of its own, for a while."""
    dataset = config.dataset
    if not storage.open_folder(dataset.address).exists(MANIFEST_NAME):
        # The pictures do not matter for what is measured here.
        drawn = {"source": f"drawn:{_DRAWN}", "address": f"{scratch.address}/pictures"}
        dataset = dataset.model_copy(update={**drawn, "crop": "center"})
    else:
        dataset = dataset.model_copy(update={"source": ""})
    penalty = config.loss.penalty_every_steps
    call = config.training.steps_per_call
    every = penalty * -(-max(penalty, call) // penalty)
    never = Interval(config.training.steps, "steps")
    return config.model_copy(
        update={
            "run": f"{scratch.address}/run",
            "dataset": dataset,
            "training": config.training.model_copy(update={"max_mins": secs / 60}),
            "metrics": config.metrics.model_copy(update={"every_steps": Interval(every, "steps")}),
            "checkpoint": config.checkpoint.model_copy(update={"every_steps": never}),
            "log": config.log.model_copy(update={"tensorboard": False, "file": ""}),
        }
    )


def _read(piece: Config, scratch: storage.Folder, began: float) -> Trial:
    folder = RunFolder(storage.open_folder(piece.run))
    rows = read_metrics(folder)
    if len(rows) < _LEAST_ROWS:
        raise TrainingError(
            f"only {len(rows)} rows of figures came in the time of the trial, too few to measure",
            expected=f"{_LEAST_ROWS} rows, one every {piece.metrics.every_steps}",
            remedy="give it longer: --secs 300; this step is slow here",
        )
    notes = read_notes(scratch)
    newest = checkpoint.list_all(folder)[-1]
    # The first stretches compile; the middle of those after them is what most steps take.
    later = rows[_COMPILING_ROWS:]
    step_secs = statistics.median(
        piece.training.global_batch / row["images_per_sec"] for row in later
    )
    return Trial(
        start_secs=min(note["first_step_at"] for note in notes) - began,
        step_secs=step_secs,
        grid_secs=_grid_secs(piece, rows[_COMPILING_ROWS - 1 :], step_secs),
        checkpoint_secs=_write_secs(folder, newest.step, scratch),
        checkpoint_bytes=checkpoint.open_step(folder, newest.step).manifest.size_bytes,
        notes=notes,
    )


def _grid_secs(piece: Config, rows: list[dict[str, Any]], step_secs: float) -> float:
    """What is left of the time beside the steps, for each grid that was drawn in it."""
    first, last = rows[0], rows[-1]
    beside = last["seconds"] - first["seconds"] - step_secs * (last["step"] - first["step"])
    return max(0.0, beside) / max(1, grids(piece, first["step"], last["step"]))


def grids(config: Config, first: int, last: int) -> int:
    """Returns how many grids are drawn after step `first` up to `last`: early ones by doubling."""
    every = config.samples.every_steps
    regular = 0
    if every.unit == "steps" and every.value:
        regular = last // int(every.value) - first // int(every.value)
    return regular + last.bit_length() - first.bit_length()


def _write_secs(folder: RunFolder, step: int, scratch: storage.Folder) -> float:
    """Times writing a checkpoint once more, part by part, from this machine."""
    prefix = f"{names.checkpoint_folder(step)}/"
    parts = [folder.folder.read(entry.name) for entry in list(folder.folder.list(prefix))]
    began = time.perf_counter()
    for number, data in enumerate(parts):
        scratch.write(f"again/{number}", data)
    return time.perf_counter() - began


def findings(config: Config, trial: Trial) -> Iterator[Finding]:
    """Says what the piece showed, and whether a checkpoint fits into the grace period."""
    batch, workers = config.training.global_batch, len(trial.notes)
    shared = f" on {workers} workers, with their all-reduce" if workers > 1 else ""
    yield ok(
        "step",
        f"{1e3 * trial.step_secs:.0f} ms{shared}, "
        f"{batch / trial.step_secs:,.0f} pictures/s; first step after "
        f"{console.duration(trial.start_secs)}",
    )
    for note in trial.notes:
        yield _memory(note)
    yield _grace(config, trial)


def _memory(note: dict[str, Any]) -> Finding:
    name = f"memory of rank {note['rank']}"
    used, total = note["peak_bytes"], note["total_bytes"]
    told = f"{console.size(used)} of {console.size(total)} on {note['device']} ({note['host']})"
    if used > _FULL_SHARE * total:
        return warning(name, told, "training.micro_batch computes a batch in smaller parts")
    return ok(name, told)


def needed_secs(config: Config, trial: Trial) -> tuple[float, float, float]:
    """Returns what passes until a checkpoint is published: notice, agreed step, writing."""
    steps = _CALLS_TO_AGREE * config.training.steps_per_call
    return _NOTICE_SECS, steps * trial.step_secs, trial.checkpoint_secs


def _grace(config: Config, trial: Trial) -> Finding:
    settings, parts = config.cluster, needed_secs(config, trial)
    given = grace_secs(settings, spot=settings.spot)
    told = (
        f"{sum(parts):.1f} s from notice to published checkpoint of "
        f"{console.size(trial.checkpoint_bytes)} ({parts[0]:.1f} s until it is heard, "
        f"{parts[1]:.1f} s to the agreed step, {parts[2]:.1f} s to write) of {given:g} s"
    )
    if sum(parts) <= given:
        return ok("grace period", told)
    every = config.checkpoint.every_steps
    return warning(
        "grace period",
        told,
        f"a machine that is taken back then costs up to an interval ({every}); checkpoint more "
        "often, use a nearer bucket, or raise the nodes' grace (cluster.grace_secs)",
    )


def left_secs(config: Config, trial: Trial, done: int) -> float:
    """Returns the time to the end of the run: its start, its steps and its grids.

    Args:
        config: Of the run.
        trial: Measured.
        done: Steps that are finished.
    """
    steps = config.training.steps
    work = (steps - done) * trial.step_secs
    return trial.start_secs + work + grids(config, done, steps) * trial.grid_secs


def cost(config: Config, secs: float) -> float:
    """Returns what so much time costs, by the prices in the config; 0 where they are unknown."""
    return secs / 3600 * config.whole_price_per_hour


def estimate(config: Config, trial: Trial, done: int) -> Finding:
    """Says how long the run will take, and what it costs."""
    secs = left_secs(config, trial, done)
    told = f"{console.duration(secs)} for {config.training.steps - done:,} steps"
    money = cost(config, secs)
    if money:
        return ok("to the end", f"{told}, {money:,.2f} at the config's price")
    return ok("to the end", f"{told}; no price is in the config (cost.price_per_gpu_hour)")
