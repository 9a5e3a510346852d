"""Beginning a start: taking the run over and choosing where to go on.

Owns the order claim, find, adopt, settle; why it must be this order is explained in
`trainer.checkpoint.rule`.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from trainer import storage
from trainer.checkpoint import rule
from trainer.checkpoint.content import Checkpoint
from trainer.checkpoint.listing import fetch_manifest, manifest_name, scan
from trainer.checkpoint.reader import find_newest, open_step
from trainer.errors import CatganError, CheckpointError
from trainer.run_folder import Holder, NewRun, RunFolder, step_name
from trainer.run_folder.record import taken_over

_MOST_TRIES = 5
log = logging.getLogger("catgan.checkpoint")


@dataclass(frozen=True)
class Begun:
    """A start that owns its run.

    Attributes:
        start: Its number.
        checkpoint: What it goes on from, verified and ready to `load`; None for a new run.
    """

    start: int
    checkpoint: Checkpoint | None

    @property
    def first_step(self) -> int:
        """The step that it goes on from; 0 for a new run."""
        return self.checkpoint.step if self.checkpoint else 0

    @property
    def images_seen(self) -> int:
        """Pictures seen up to `first_step`."""
        return self.checkpoint.images_seen if self.checkpoint else 0


def begin(
    run: RunFolder,
    new: NewRun,
    *,
    from_step: int | None = None,
    host: str,
    world_size: int = 1,
    versions: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    holder: Holder | None = None,
) -> Begun:
    """Takes a run over and goes on from its newest checkpoint, or begins it.

    Check the config and the data set before: this writes. Starts that were running are
    fenced out from here on.

    Args:
        run: The run folder.
        new: Identity of the run.
        from_step: Go on from this checkpoint and leave the later ones behind.
        host: Name of this machine.
        world_size: Workers.
        versions: Of the program and its libraries.
        overrides: Config keys that this start changes.
        holder: The lease under which the run is claimed; None: who holds it is not looked at.

    Raises:
        CheckpointError: No checkpoint can be used though there are some; or another start
            took over in the meantime; or the run is on another data set.
        ClusterError: Another driver holds the run.
    """
    number = claim(
        run,
        new,
        host=host,
        world_size=world_size,
        versions=versions,
        overrides=overrides,
        holder=holder,
    )
    return settle(run, number, from_step=from_step)


def claim(run: RunFolder, new: NewRun, **told: Any) -> int:
    """Takes the run over and returns the number of this start; `settle` must follow.

    Args:
        run: The run folder.
        new: Identity of the run.
        **told: Of this start, see `RunFolder.claim_start`.

    Raises:
        CheckpointError: See `begin`.
    """
    _refuse_lost_record(run)
    return run.claim_start(new, **told)


def settle(run: RunFolder, number: int, *, from_step: int | None = None) -> Begun:
    """Chooses what a claimed start goes on from.

    Args:
        run: The run folder.
        number: Of the claimed start.
        from_step: See `begin`.

    Raises:
        CheckpointError: See `begin`.
    """
    try:
        begun = Begun(number, _find_and_adopt(run, number, from_step))
        run.settle_start(number, begun.first_step, begun.images_seen)
        return begun
    except CatganError as error:
        with suppress(CatganError):
            run.end_start(number, "failed", error.what)
        raise


def refuse_if_taken_over(run: RunFolder, number: int) -> None:
    """Raises CheckpointError where a later start has taken the run over from start `number`."""
    record = run.read_record()
    later = rule.fenced_by(number, record.starts) if record else None
    if record is not None and later is not None:
        raise taken_over(record.start(number), later)


def _refuse_lost_record(run: RunFolder) -> None:
    """Without its record nobody can tell which checkpoints of a run count."""
    there = [step for step, files in scan(run).items() if files.manifest is not None]
    # In this order: another start may write the record and a checkpoint between the two.
    if there and run.read_record() is None:
        raise CheckpointError(
            f"{run.address} holds {len(there)} checkpoints (the last is {step_name(there[-1])}) "
            "but no run.json",
            expected="the record of the run, which says which of them count",
            remedy="restore run.json from a copy, or train into a new run folder (`run=...`)",
        )


def _find_and_adopt(run: RunFolder, number: int, from_step: int | None) -> Checkpoint | None:
    for _ in range(_MOST_TRIES):
        before = _published(run)
        found = find_newest(run) if from_step is None else open_step(run, from_step)
        adopted = _adopt(found, number) if found else None
        if found is not None and adopted is None:
            log.info("%s changed while it was being adopted, looking again", found.name)
            continue
        # Reading takes a while: a start that is being drained may have published meanwhile.
        step = adopted.step if adopted else -1
        if from_step is None and any(at > step for at, _ in _published(run) - before):
            log.info("a newer checkpoint was published meanwhile, looking again")
            continue
        return adopted
    raise CheckpointError(
        f"the checkpoints of {run.address} keep changing while start {number} looks at them",
        expected="one start at a time on a run folder",
        remedy="stop the other processes that train into this folder",
    )


def _published(run: RunFolder) -> set[tuple[int, storage.Generation]]:
    return {
        (step, files.manifest.generation)
        for step, files in scan(run).items()
        if files.manifest is not None
    }


def _adopt(checkpoint: Checkpoint, number: int) -> Checkpoint | None:
    """Writes the manifest anew with the adopter's number; None where it changed meanwhile."""
    manifest = checkpoint.manifest.model_copy(
        update={"adopted_by": (*checkpoint.manifest.adopted_by, number)}
    )
    folder, name = checkpoint.run.folder, manifest_name(checkpoint.step)
    try:
        generation = folder.write(name, manifest.to_json(), if_generation=checkpoint.generation)
    except storage.Conflict:
        # Perhaps by our own write, whose answer was lost.
        try:
            now, generation = fetch_manifest(checkpoint.run, checkpoint.step)
        except (storage.NotFound, CheckpointError):
            return None
        if now != manifest:
            return None
    return replace(checkpoint, manifest=manifest, generation=generation)
