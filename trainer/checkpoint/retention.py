"""Deleting what a run does not need any more.

Owns the deletions in `checkpoints/` and their order: a manifest first, then its
parts, so that a half-deleted checkpoint is no checkpoint. What may go is decided
by `trainer.checkpoint.rule`. Files that are not named by our scheme stay, whatever
they are. Also owns the check for free space at the start of a run.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trainer import storage
from trainer.checkpoint import rule
from trainer.checkpoint.format import Manifest, parse_part_name
from trainer.checkpoint.listing import (
    StepFiles,
    fetch_manifest,
    manifest_name,
    missing_or_cut,
    scan,
)
from trainer.checkpoint.reader import list_all
from trainer.errors import CheckpointError, StorageError
from trainer.run_folder import RunFolder, StartRecord, names, step_name

log = logging.getLogger("catgan.checkpoint")


@dataclass(frozen=True)
class Policy:
    """Which checkpoints stay.

    Attributes:
        keep_last: The newest so many.
        keep_every_steps: Steps divisible by this stay for good; 0 for none.
    """

    keep_last: int = 3
    keep_every_steps: int = 0


class Retention:
    """Prunes a run's checkpoints on behalf of one start.

    Args:
        run: The run folder.
        start: Number of this start.
        policy: What stays.
    """

    def __init__(self, run: RunFolder, start: int, policy: Policy):
        self._run = run
        self._start = start
        self._policy = policy
        self._read: dict[tuple[int, storage.Generation], Manifest] = {}

    def prune(
        self, published: int, best: int | None = None, measured: Collection[int] = ()
    ) -> list[int]:
        """Deletes what the policy does not keep.

        Call it after a publication of this start, never before: what an earlier start left
        is only known to be over when a later checkpoint is there.

        Args:
            published: The step that this start published last.
            best: The best step by the run's metric; it stays.
            measured: Steps that are being measured; they stay until it is known how good they are.

        Returns:
            The steps whose manifest was deleted.

        Raises:
            StorageError: The folder cannot be reached. What was published stays.
            CheckpointError: `run.json` is damaged.
        """
        # Look first, then at the claims: a start that claims after this changes the
        # generation of what it goes on from, and the deletion fails (see `rule`).
        found = scan(self._run)
        known = self._manifests(found)
        record = self._run.read_record()
        starts = record.starts if record else ()
        if not rule.may_delete(self._start, starts):
            log.info("start %d deletes nothing: a later start has claimed the run", self._start)
            return []
        deleted = [
            step
            for step in self._over(known, found, starts, published, best, measured)
            if self._delete(found[step], *known[step])
        ]
        self._clear_orphans(found, known)
        return deleted

    def _manifests(
        self, found: Mapping[int, StepFiles]
    ) -> dict[int, tuple[Manifest, storage.Generation]]:
        """Reads the manifests, each once in this object's life, and leaves out unreadable ones."""
        known: dict[int, tuple[Manifest, storage.Generation]] = {}
        for step, files in found.items():
            if files.manifest is None:
                continue
            read = self._read.get((step, files.manifest.generation))
            if read is not None:
                known[step] = (read, files.manifest.generation)
                continue
            # Deleted meanwhile, damaged, or of a version that we do not know: not ours to delete.
            with suppress(storage.NotFound, CheckpointError):
                known[step] = fetch_manifest(self._run, step)
        self._read = {(step, generation): read for step, (read, generation) in known.items()}
        return known

    def _over(
        self,
        known: Mapping[int, tuple[Manifest, storage.Generation]],
        found: Mapping[int, StepFiles],
        starts: Sequence[StartRecord],
        published: int,
        best: int | None,
        measured: Collection[int],
    ) -> list[int]:
        """Returns the steps that may go, oldest first."""
        superseded, damaged, counted = set(), set(), set()
        for step, (manifest, _) in known.items():
            if rule.superseded_by(step, manifest.start, starts) is not None:
                superseded.add(step)
            elif missing_or_cut(manifest, found[step].part_bytes):
                damaged.add(step)
            else:
                counted.add(step)
        kept = rule.kept_steps(
            counted,
            keep_last=self._policy.keep_last,
            keep_every_steps=self._policy.keep_every_steps,
            best=best,
            measured=measured,
        )
        recent = sorted(counted)[-max(1, self._policy.keep_last) :]
        # What a later start has overtaken stays until the new history has come as far;
        # what is damaged stays for a person to look at until it is older than all others.
        over = (counted - kept) | {step for step in superseded if step <= published}
        over |= {step for step in damaged if recent and step < recent[0]}
        return sorted(over)

    def _delete(self, files: StepFiles, manifest: Manifest, generation: storage.Generation) -> bool:
        """Deletes one checkpoint; returns False where it changed since it was looked at."""
        try:
            self._run.folder.delete(manifest_name(files.step), if_generation=generation)
        except storage.Conflict:
            log.info("%s changed since it was looked at, it stays", step_name(files.step))
            return False
        for part in manifest.parts:
            self._run.folder.delete(f"{names.checkpoint_folder(files.step)}/{part.name}")
        log.debug("deleted %s", step_name(files.step))
        return True

    def _clear_orphans(
        self,
        found: Mapping[int, StepFiles],
        known: Mapping[int, tuple[Manifest, storage.Generation]],
    ) -> None:
        for step, files in found.items():
            if files.manifest is not None and step not in known:
                continue  # its manifest cannot be read: nobody knows what it names
            referenced = {part.name for part in known[step][0].parts} if step in known else set()
            for name in files.part_bytes:
                start = parse_part_name(name)
                if start is not None and rule.is_orphan(
                    start, own_start=self._start, referenced=name in referenced
                ):
                    log.info("deleting %s of %s, never published", name, step_name(step))
                    self._run.folder.delete(f"{names.checkpoint_folder(step)}/{name}")


def check_space(
    run: RunFolder, state_bytes: int, keep_last: int, keep_every_steps: int = 0
) -> None:
    """Checks that `keep_last` + 2 checkpoints fit, those that will make room for them included.

    Args:
        run: The run folder; in a bucket there is nothing to check.
        state_bytes: Bytes of all tensors of one checkpoint.
        keep_last, keep_every_steps: As in `Policy`. The best by the metric is not known here; it
            takes the place of one of the two on the way.

    Raises:
        StorageError: They do not fit; the message says how much is missing.
        CheckpointError: `run.json` is damaged.
    """
    free = run.folder.free_bytes()
    if free is None:
        return
    needed = state_bytes * (keep_last + 2) - _passing_bytes(run, keep_every_steps)
    if free < needed:
        raise StorageError(
            f"{run.address} has {_mib(free)} free, and checkpoints need {_mib(needed)} "
            f"more: {_mib(state_bytes)} each, the last {keep_last} and two on the way",
            expected=f"at least {_mib(needed)} free",
            remedy="free space there, take a `run` address on another disk, "
            "or lower checkpoint.keep_last",
        )


def _passing_bytes(run: RunFolder, keep_every_steps: int) -> int:
    """Bytes of the parts that `Retention` will delete as newer checkpoints come."""
    listed = {item.step: item for item in list_all(run)}
    passing = 0
    for step, files in scan(run).items():
        item = listed.get(step)
        for_good = item is not None and item.counts and rule.stays(step, keep_every_steps)
        # What cannot be read is not ours to delete.
        unreadable = item is not None and item.manifest is None
        if not for_good and not unreadable:
            passing += sum(files.part_bytes.values())
    return passing


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"
