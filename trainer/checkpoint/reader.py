"""Finding checkpoints: all, the newest, or one by its step or address.

Owns the choice of the newest checkpoint that counts and the fall-back when it
fails. Loading is `trainer.checkpoint.content`'s. Writes nothing.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from trainer import storage
from trainer.checkpoint import rule
from trainer.checkpoint.content import Checkpoint
from trainer.checkpoint.format import Manifest
from trainer.checkpoint.listing import fetch_manifest, manifest_name, missing_or_cut, scan
from trainer.errors import CheckpointError
from trainer.run_folder import RunFolder, StartRecord, split_run_address, step_name

log = logging.getLogger("catgan.checkpoint")


@dataclass(frozen=True)
class Listed:
    """One checkpoint as `list_all` found it, without reading its parts.

    Attributes:
        step: From its folder's name.
        manifest: None where it cannot be read.
        problem: Why it cannot be used, in one line; empty where nothing is seen to be wrong.
        superseded: Whether the problem is only that a later start took its step.
    """

    step: int
    manifest: Manifest | None
    problem: str = ""
    superseded: bool = False

    @property
    def counts(self) -> bool:
        """Whether it counts, as far as a listing can tell."""
        return not self.problem


def list_all(run: RunFolder) -> list[Listed]:
    """Lists every step that has a manifest, oldest first.

    Reads manifests, not parts: names and sizes are checked, content is not.

    Raises:
        CheckpointError: `run.json` is damaged.
        StorageError: The folder cannot be reached.
    """
    starts = _starts(run)
    found = []
    for step, files in scan(run).items():
        if files.manifest is None:
            continue
        try:
            manifest, _ = fetch_manifest(run, step)
        except storage.NotFound:
            continue  # deleted since it was listed
        except CheckpointError as error:
            found.append(Listed(step, None, error.what))
            continue
        later = rule.superseded_by(step, manifest.start, starts)
        problem = missing_or_cut(manifest, files.part_bytes) or ""
        if later is not None:
            problem = f"start {later.number} began at step {later.first_step}, before it"
        found.append(Listed(step, manifest, problem, superseded=later is not None))
    return found


def find_newest(run: RunFolder, prefixes: Sequence[str] | None = None) -> Checkpoint | None:
    """Finds the newest checkpoint that counts, and verifies it.

    One that fails is named in a warning, and the one before it is taken.

    Args:
        run: The run folder.
        prefixes: Verify only what `load(prefixes)` will need.

    Returns:
        The checkpoint, its tensors ready for one `load(prefixes)`; None where the run has
        published none.

    Raises:
        CheckpointError: There are checkpoints, and every one of them is damaged.
        StorageError: The folder cannot be reached: not a reason to take an older one.
    """
    problems: list[str] = []
    for step, files in reversed(scan(run).items()):
        if files.manifest is None:
            continue
        try:
            checkpoint = _verified(run, step, prefixes)
        except CheckpointError as error:
            if not run.folder.exists(manifest_name(step)):
                continue  # deleted while it was read: a newer one was published meanwhile
            problems.append(error.what)
            log.warning(
                "%s cannot be used, looking for the one before: %s", step_name(step), error.what
            )
            continue
        if checkpoint is not None:
            return checkpoint
    if problems:
        raise CheckpointError(
            f"none of the checkpoints in {run.address} is whole: " + "; ".join(problems),
            expected="at least one whole checkpoint",
            remedy="restore one from a copy, or train into a new run folder (`run=...`)",
        )
    return None


def _verified(run: RunFolder, step: int, prefixes: Sequence[str] | None) -> Checkpoint | None:
    """Returns the checkpoint if it counts; raises CheckpointError where it is damaged."""
    try:
        checkpoint = _open(run, step)
    except storage.NotFound:
        return None  # deleted since it was listed
    later = checkpoint.superseded_by
    if later is not None:
        log.info(
            "%s does not count: start %d wrote it, and start %d began at step %s",
            checkpoint.name,
            checkpoint.manifest.start,
            later.number,
            later.first_step,
        )
        return None
    checkpoint.verify(prefixes)
    return checkpoint


def open_step(run: RunFolder, step: int, prefixes: Sequence[str] | None = None) -> Checkpoint:
    """Opens and verifies one checkpoint, for going on from it.

    Raises:
        CheckpointError: It is not there, damaged, or a later start has taken its step. The
            message names those that can be used.
    """
    try:
        checkpoint = _open(run, step)
        if checkpoint.superseded_by is not None:
            later = checkpoint.superseded_by
            raise CheckpointError(
                f"{checkpoint.address} does not belong to the run's history any more: start "
                f"{later.number} went on from step {later.first_step}, before it"
            )
        checkpoint.verify(prefixes)
        return checkpoint
    except storage.NotFound as error:
        what = f"{run.address} has no checkpoint {step_name(step)}"
        raise _not_that_one(run, step, what) from error
    except CheckpointError as error:
        raise _not_that_one(run, step, error.what) from error


def _not_that_one(run: RunFolder, step: int, what: str) -> CheckpointError:
    remedy = "name the step of one of those, or no step to take the newest"
    return CheckpointError(what, expected=_choices(run, step), remedy=remedy)


def open_address(address: str, prefixes: Sequence[str] | None = None) -> Checkpoint:
    """Opens and verifies the checkpoint at `RUN/checkpoints/step-000012000`, or RUN's newest.

    One that a later start has taken the step of is opened with a warning: for looking at,
    not for going on from.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    run_address, step = split_run_address(address)
    run = RunFolder(storage.open_folder(run_address))
    if step is None:
        newest = find_newest(run, prefixes)
        if newest is None:
            raise CheckpointError(
                f"{run.address} holds no checkpoint",
                expected="the address of a run, or of a checkpoint such as "
                "RUN/checkpoints/step-000012000",
                remedy="check the address; `catgan inspect ADDRESS` says what is there",
            )
        return newest
    try:
        checkpoint = _open(run, step)
    except storage.NotFound as error:
        raise CheckpointError(
            f"{run.address} has no checkpoint {step_name(step)}",
            expected=_choices(run, step),
            remedy="give the address of one of those, or of the run",
        ) from error
    if checkpoint.superseded_by is not None:
        log.warning(
            "%s was overtaken by start %d, which began at step %s",
            checkpoint.address,
            checkpoint.superseded_by.number,
            checkpoint.superseded_by.first_step,
        )
    checkpoint.verify(prefixes)
    return checkpoint


def _open(run: RunFolder, step: int) -> Checkpoint:
    manifest, generation = fetch_manifest(run, step)
    later = rule.superseded_by(step, manifest.start, _starts(run))
    return Checkpoint(run, manifest, generation, later)


def _starts(run: RunFolder) -> tuple[StartRecord, ...]:
    record = run.read_record()
    return record.starts if record else ()


def _choices(run: RunFolder, but: int) -> str:
    usable = [step_name(item.step) for item in list_all(run) if item.counts and item.step != but]
    return f"one of {', '.join(usable)}" if usable else "a checkpoint; none here is whole"
