"""A run folder as an object: reads and changes `run.json`.

Owns the compare-and-swap loop around the record and how often progress is
written. The record's shape and the changes themselves are pure, see
`trainer.run_folder.record`; what a checkpoint holds is not known here.
"""

import datetime
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from trainer import storage
from trainer.errors import CheckpointError
from trainer.run_folder import names
from trainer.run_folder.holder import Holder
from trainer.run_folder.record import (
    NewRun,
    RunRecord,
    StartRecord,
    Status,
    changed_start,
    claimed,
    read_record,
    settled,
    taken_over,
)

PROGRESS_SECS = 5.0
"""Least time between two writes of the record that only note progress."""

_MOST_TRIES = 60
log = logging.getLogger("catgan.run")


class RunFolder:
    """One run, in a folder or a bucket. Safe to use from several threads.

    Args:
        folder: From `storage.open_folder`. Nothing is read or written until asked for.
    """

    def __init__(self, folder: storage.Folder):
        self.folder = folder
        self.address = folder.address
        self._progress_lock = threading.Lock()
        self._last_progress = -math.inf

    def read_record(self) -> RunRecord | None:
        """Reads `run.json`; None where there is none.

        Raises:
            CheckpointError: The file is there and is no run's record.
            StorageError: The folder cannot be reached.
        """
        return self._read_versioned()[0]

    def must_have_record(self) -> RunRecord:
        """Reads `run.json`; raises CheckpointError where there is none."""
        record = self.read_record()
        if record is None:
            raise CheckpointError(
                f"there is no run at {self.address}",
                expected=f"a folder or bucket prefix with a {names.RECORD}",
                remedy="check the address; `catgan inspect ADDRESS` says what is there",
            )
        return record

    def read_config(self) -> str:
        """Returns the text of `config.yaml`; raises CheckpointError where there is none."""
        try:
            return self.folder.read(names.CONFIG).decode("utf-8", errors="replace")
        except storage.NotFound as error:
            raise CheckpointError(
                f"{self.address} has no {names.CONFIG}",
                expected="the folder or bucket prefix of a run that has begun",
                remedy="check the address; `catgan inspect ADDRESS` says what is there",
            ) from error

    def write_config(self, text: str) -> None:
        """Writes the resolved config, replacing what was there."""
        self.folder.write(names.CONFIG, text.encode())

    def update_record(self, change: Callable[[RunRecord], RunRecord]) -> RunRecord:
        """Changes the record by compare-and-swap and returns the new one.

        Args:
            change: Pure; called again with the newer record if another start came between.
                Returning its argument unchanged writes nothing.

        Raises:
            CheckpointError: There is no record, or `change` refused.
        """

        def must_exist(record: RunRecord | None) -> RunRecord:
            if record is None:
                raise CheckpointError(
                    f"{self.address} has no {names.RECORD} any more",
                    expected="the record of the run that is being trained",
                    remedy="was the folder deleted or moved? Restore it and start again",
                )
            return change(record)

        return self._swap(must_exist)

    def claim_start(
        self,
        new: NewRun,
        *,
        host: str,
        world_size: int = 1,
        versions: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
        holder: Holder | None = None,
    ) -> int:
        """Takes the run over and returns the number of this start.

        From here on no earlier start deletes anything. Choose the checkpoint to go on from
        *after* this and tell it to `settle_start`: one chosen before may be gone by then.

        Args:
            new: Identity of the run; creates the record where there is none.
            host: Name of this machine.
            world_size: Workers.
            versions: Of the program and its libraries.
            overrides: Config keys that this start changes, kept in the run's history.
            holder: The lease under which this is done; None: who holds the run is not looked at.

        Raises:
            CheckpointError: The folder holds a run on other pictures.
            ClusterError: Another driver holds the run.
        """
        if holder is not None:
            holder = holder.model_copy(update={"renewed": datetime.datetime.now(datetime.UTC)})
        start = StartRecord(
            number=1,
            token=secrets.token_hex(16),
            host=host,
            world_size=world_size,
            time=_now(),
            versions=dict(versions or {}),
            overrides=dict(overrides or {}),
        )
        record = self._swap(lambda record: claimed(record, new, start, self.address, holder))
        return next(item.number for item in record.starts if item.token == start.token)

    def settle_start(self, number: int, first_step: int, images_seen: int = 0) -> None:
        """Fixes the step that a claimed start goes on from (0 for a new run).

        Raises:
            CheckpointError: A later start has claimed the run in the meantime.
        """
        self.update_record(lambda record: settled(record, number, first_step, images_seen))

    def note_progress(self, number: int, step: int, images_seen: int) -> bool:
        """Notes where a start is, at most every 5 s; returns whether it was written.

        Raises:
            CheckpointError: A later start took the run over; the message says which.
        """
        with self._progress_lock:
            if time.monotonic() - self._last_progress < PROGRESS_SECS:
                return False
            self._last_progress = time.monotonic()

        def note(record: RunRecord) -> RunRecord:
            own = record.start(number)
            for start in record.later(number):
                if start.settled:
                    raise taken_over(own, start)
            if not record.is_left_to(number):
                return record  # somebody is choosing a step: the record is theirs now
            return record.model_copy(
                update={"status": "running", "step": step, "images_seen": images_seen}
            )

        self.update_record(note)
        return True

    def end_start(
        self,
        number: int,
        status: Status,
        cause: str,
        *,
        step: int | None = None,
        images_seen: int | None = None,
    ) -> None:
        """Notes the end of a start at once. The run's status changes only if it is left to it.

        Args:
            number: Of this start.
            status: `finished`, `failed` or `stopped`.
            cause: In one line.
            step: The last finished step.
            images_seen: Pictures seen up to `step`.
        """
        line = " ".join(cause.split())

        def end(record: RunRecord) -> RunRecord:
            own = record.start(number)
            changed = changed_start(record, number, ended=_now(), cause=line)
            if not record.is_left_to(number):
                return changed
            updates: dict[str, Any] = {"status": status}
            if own.settled and step is not None:
                updates["step"] = step
            if own.settled and images_seen is not None:
                updates["images_seen"] = images_seen
            return changed.model_copy(update=updates)

        self.update_record(end)

    def _read_versioned(self) -> tuple[RunRecord | None, Any]:
        try:
            data, generation = self.folder.read_versioned(names.RECORD)
        except storage.NotFound:
            return None, storage.ABSENT
        return read_record(data, storage.join(self.address, names.RECORD)), generation

    def _swap(self, change: Callable[[RunRecord | None], RunRecord]) -> RunRecord:
        """Reads, changes and writes the record until nobody came between."""
        for attempt in range(_MOST_TRIES):
            record, generation = self._read_versioned()
            changed = change(record)
            if changed is record:
                return changed
            try:
                self.folder.write(names.RECORD, changed.to_json(), if_generation=generation)
                return changed
            except storage.Conflict:
                log.debug("%s changed under us, try %d", names.RECORD, attempt + 1)
                time.sleep(min(1.0, 0.01 * 2**attempt) * (0.5 + secrets.randbelow(1000) / 1000))
        raise CheckpointError(
            f"{storage.join(self.address, names.RECORD)} was changed by others "
            f"{_MOST_TRIES} times in a row while we tried to change it",
            expected="one start at a time on a run folder",
            remedy="stop the other processes that train into this folder",
        )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
