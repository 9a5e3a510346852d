"""Trains one stretch of a run again and compares the bits with those that were published.

Owns which stretch, when bits can be expected to be the same, and the verdict. A stretch lies
between two neighbouring checkpoints, or between the beginning and the first; of a run that was
published without checkpoints it is the whole, and the generator's weights are compared.
"""

import datetime
import json
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from trainer import checkpoint, shipped, storage
from trainer.command_line import catgan
from trainer.config import Config
from trainer.errors import CheckpointError, ConfigError
from trainer.launch import again, starting
from trainer.launch.verify_compare import Difference, differences, within_noise
from trainer.run_folder import RunFolder, StartRecord, names, step_name

log = logging.getLogger("catgan")


Verdict = Literal["same", "same but for rounding", "different", "undecided"]


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        run: Address.
        first, last: The stretch: finished steps before and after it.
        tensors: How many were compared.
        different: In words, those that are not the same bit for bit.
        exact: Whether bits can be expected to be the same.
        why_not: If not, why.
        verdict: `same`; `same but for rounding`; `different`: something was changed after it was
            trained; `undecided`: it differs, but bits could not be expected to be the same.
        secs: How long the stretch took to train again.
        time: When, ISO 8601 in UTC.
        versions: Of the program and libraries that trained it again.
    """

    run: str
    first: int
    last: int
    tensors: int
    different: tuple[str, ...]
    exact: bool
    why_not: str
    verdict: Verdict
    secs: float
    time: str
    versions: dict[str, str]

    def raise_if_different(self) -> None:
        """Raises CheckpointError unless the checkpoint is what it should be."""
        if self.verdict != "different":
            return
        raise CheckpointError(
            f"{self.run} does not hold what its config and pictures give: {len(self.different)} of "
            f"{self.tensors} tensors of step {self.last:,} differ, trained again from step "
            f"{self.first:,}; first {self.different[0]}",
            expected="the same bits",
            remedy="one of the two checkpoints, the config or the pictures was changed after it "
            f"was trained; try another stretch: {catgan('audit', self.run)}",
        )


def audit(address: str, *, interval: str = "random", dataset: str = "", scratch: str = "") -> Audit:
    """Trains a stretch again and compares.

    Args:
        address: Of the run; only read.
        interval: `random`, `last`, or the step of the checkpoint at its end.
        dataset: Where the pictures are; empty: where they were.
        scratch: Beginning of the scratch run's address; empty: `audit` in this folder.

    Raises:
        ConfigError: There is no such interval.
        CheckpointError: There is no run, or a checkpoint is damaged.
        CatganError: The stretch cannot be trained: see `trainer.worker.run`.
    """
    run = RunFolder(storage.open_folder(shipped.resolved(address)))
    saved = again.saved_steps(run)
    record = run.must_have_record()
    whole = not saved and record.status == "finished" and run.folder.exists(names.GENERATOR)
    first, last = (0, record.step) if whole else _stretch(saved, interval)
    config = again.config_until(run, last)
    if dataset:
        pictures = config.dataset.model_copy(update={"address": dataset})
        config = config.model_copy(update={"dataset": pictures})
    read = _generator if whole else _checkpoint
    expected = read(run, last)
    log.info("training %s again, from step %s to %s", run.address, f"{first:,}", f"{last:,}")
    began = time.monotonic()
    with again.scratch_run(scratch or "audit") as place:
        again.train_again(run, config, first, last, place)
        found = read(place, last)
    secs = time.monotonic() - began
    unlike = differences(expected, found)
    trained = record.starts[-1] if whole else _start_of(run, last)
    others = again.starts_between(record, first, last)
    why_not = _why_not_exact(config, trained, others)
    return Audit(
        run.address,
        first,
        last,
        len(expected),
        tuple(item.told() for item in unlike),
        not why_not,
        why_not,
        _verdict(unlike, exact=not why_not),
        round(secs, 1),
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        starting.versions(),
    )


def _checkpoint(run: RunFolder, step: int) -> dict[str, np.ndarray]:
    return checkpoint.open_step(run, step).load()


def _generator(run: RunFolder, step: int) -> dict[str, np.ndarray]:
    from trainer.drawing import keras_model

    model = keras_model(storage.join(run.address, names.GENERATOR))
    return {weight.path: np.asarray(weight) for weight in model.weights}


def _start_of(run: RunFolder, step: int) -> StartRecord:
    found = checkpoint.open_step(run, step, prefixes=())
    return run.must_have_record().start(found.manifest.start)


def _stretch(saved: list[int], interval: str) -> tuple[int, int]:
    pairs = [(first, last) for first, last in zip([0, *saved], saved, strict=False) if last > first]
    if not pairs:
        raise CheckpointError(
            "the run has no checkpoint",
            expected="at least one, for a stretch that can be trained again",
            remedy="train it first",
        )
    if interval == "random":
        # Whoever publishes a run cannot know which stretch will be looked at.
        return random.SystemRandom().choice(pairs)
    if interval == "last":
        return pairs[-1]
    step = names.parse_step(interval)
    found = [pair for pair in pairs if pair[1] == step]
    if not found:
        told = ", ".join(step_name(last) for _, last in pairs[-8:])
        raise ConfigError(
            f"no stretch ends at step {step:,}",
            expected=f"random, last, or a checkpoint that there is: {told}",
            remedy="--interval random",
        )
    return found[0]


def _why_not_exact(config: Config, trained: StartRecord, others: Sequence[StartRecord]) -> str:
    """Says why bits may differ though nothing was changed; empty where they may not."""
    from trainer.device import gpu_name

    here = starting.versions()
    if name := gpu_name():
        here["gpu"] = name
    reasons = [
        f"start {start.number} went on from step {start.first_step:,}, whose checkpoint is not "
        "kept, maybe with other settings"
        for start in others
    ]
    if not config.deterministic:
        reasons.append("the run is not deterministic (deterministic=true would make it so)")
    if trained.world_size > 1:
        reasons.append(f"{trained.world_size} workers trained it, one does here")
    if "processor" not in trained.versions:
        reasons.append("the run does not say on what processor it was trained")
    known = trained.versions
    other = [
        f"{name} {known.get(name, 'none')} there, {here.get(name, 'none')} here"
        for name in dict.fromkeys([*known, *here])
        if here.get(name) != known.get(name)
    ]
    return "; ".join([*reasons, *other])


def _verdict(unlike: list[Difference], *, exact: bool) -> Verdict:
    if not unlike:
        return "same"
    if exact:
        return "different"
    # Training is chaotic: what began as rounding need not stay small.
    return "same but for rounding" if within_noise(unlike, []) else "undecided"


def told(found: Audit) -> dict[str, Any]:
    """Returns plain values, ready for JSON."""
    return asdict(found)


def note(found: Audit) -> str:
    """Keeps the result in the run folder, for its page; returns where.

    Raises:
        StorageError: The run folder cannot be written.
    """
    folder = storage.open_folder(found.run)
    name = names.audit(found.last)
    folder.write(name, (json.dumps(told(found), indent=1) + "\n").encode())
    return folder.address_of(name)
