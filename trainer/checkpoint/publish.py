"""Saving one checkpoint, step by step, in the calling thread.

Owns the order of the writes: parts in parallel, then what must be durable before
(`before_publish`), then a look at `run.json`, then the manifest with a
precondition. Knows nothing of queues, see `trainer.checkpoint.writer`, nor of
old checkpoints, see `trainer.checkpoint.retention`.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import storage
from trainer.checkpoint import rule
from trainer.checkpoint.format import (
    PART_BYTES,
    Manifest,
    PartEntry,
    TensorEntry,
    deal,
    part_name,
    serialise,
)
from trainer.checkpoint.listing import fetch_manifest, manifest_name
from trainer.errors import CheckpointError
from trainer.run_folder import RunFolder, StartRecord, names, step_name
from trainer.run_folder.record import taken_over

_MOST_REPLACEMENTS = 5
log = logging.getLogger("catgan.checkpoint")


@dataclass(frozen=True)
class Snapshot:
    """What is to be saved. The arrays belong to the saver until it is done.

    Attributes:
        step: Finished steps.
        images_seen: Real pictures shown to the discriminator.
        tensors: Arrays by name.
        meta: Plain values, kept in the manifest.
    """

    step: int
    images_seen: int
    tensors: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


class Publisher:
    """Saves checkpoints of one start, one at a time.

    Args:
        run: The run folder.
        start: Number of this start.
        before_publish: Called with the step when its parts are up and its manifest is not.
        part_bytes: Most tensor bytes of a part.
        upload_threads: Parts that are serialised and uploaded at once.
    """

    def __init__(
        self,
        run: RunFolder,
        start: int,
        *,
        before_publish: Callable[[int], None] | None = None,
        part_bytes: int = PART_BYTES,
        upload_threads: int = 4,
    ):
        self._run = run
        self._start = start
        self._before_publish = before_publish
        self._part_bytes = part_bytes
        self._upload_threads = upload_threads

    def publish(self, snapshot: Snapshot) -> bool:
        """Saves a checkpoint; returns False where the step had one that counts already.

        Raises:
            CheckpointError: A later start took over; the message says which.
            StorageError: It could not be written. The checkpoints before it are untouched.
        """
        step = snapshot.step
        if self._look(step) is None:
            log.info("%s is already there and counts", step_name(step))
            return False
        try:
            manifest = self._upload(snapshot)
            if self._before_publish is not None:
                self._before_publish(step)
            return self._place(manifest)
        except storage.StorageError:
            self._clear_away(step)
            raise

    def _look(self, step: int) -> storage.Generation | None:
        """Returns the generation that our manifest may replace, None where one counts.

        Raises:
            CheckpointError: A later start took over.
        """
        # In this order: whoever wrote what is found began before the record is read.
        found, generation = self._there(step)
        record = self._run.read_record()
        starts = record.starts if record else ()
        # Before all else: a step that counts already may do so by the work of a later start.
        later = rule.fenced_by(self._start, starts)
        if later is not None:
            own = next((s for s in starts if s.number == self._start), None)
            raise taken_over(own or StartRecord(number=self._start, token=""), later)
        if found is not None and rule.superseded_by(step, found.start, starts) is None:
            return None
        return generation

    def _there(self, step: int) -> tuple[Manifest | None, storage.Generation]:
        """Returns the step's manifest, None where it is missing or broken, and its generation."""
        try:
            return fetch_manifest(self._run, step)
        except storage.NotFound:
            return None, storage.ABSENT
        except CheckpointError as error:
            log.warning("replacing a manifest that cannot be read: %s", error.what)
            entry = self._run.folder.stat(manifest_name(step))
            return None, entry.generation if entry else storage.ABSENT

    def _upload(self, snapshot: Snapshot) -> Manifest:
        """Writes all parts and returns the manifest that describes them."""
        dealt = deal(snapshot.tensors, self._part_bytes)
        entries: dict[str, TensorEntry] = {}
        with ThreadPoolExecutor(self._upload_threads, "checkpoint-upload") as pool:
            futures = []
            for index, tensor_names in enumerate(dealt, start=1):
                name = part_name(self._start, index, len(dealt))
                part = {tensor: snapshot.tensors[tensor] for tensor in tensor_names}
                for tensor, array in part.items():
                    entries[tensor] = TensorEntry(
                        shape=array.shape, dtype=array.dtype.name, part=name
                    )
                futures.append(pool.submit(self._upload_part, snapshot.step, name, part))
            done, _ = wait(futures, return_when="FIRST_EXCEPTION")
            if any(future.exception() for future in done):
                pool.shutdown(wait=True, cancel_futures=True)
            parts = tuple(future.result() for future in futures if not future.cancelled())
        return Manifest(
            step=snapshot.step,
            images_seen=snapshot.images_seen,
            start=self._start,
            tensors=entries,
            parts=parts,
            meta=dict(snapshot.meta),
        )

    def _upload_part(self, step: int, name: str, tensors: Mapping[str, np.ndarray]) -> PartEntry:
        data, sha256 = serialise(tensors)
        # As it is: a disk takes any buffer, and a copy would hold the global lock. (A bucket's
        # client wants bytes, and gets a copy.)
        self._run.folder.write(f"{names.checkpoint_folder(step)}/{name}", data)
        return PartEntry(name=name, size_bytes=len(data), sha256=sha256)

    def _place(self, manifest: Manifest) -> bool:
        """Writes the manifest where there is none, or over one that does not count."""
        data = manifest.to_json()
        for _ in range(_MOST_REPLACEMENTS):
            generation = self._look(manifest.step)
            if generation is None:
                return self._is_ours(manifest)
            try:
                self._run.folder.write(manifest_name(manifest.step), data, if_generation=generation)
                return True
            except storage.Conflict:
                continue  # another writer, or our own write whose answer was lost: look again
        raise CheckpointError(
            f"the manifest of {step_name(manifest.step)} in {self._run.address} was replaced "
            f"{_MOST_REPLACEMENTS} times while start {self._start} wanted to write it",
            expected="one start at a time on a run folder",
            remedy="stop the other processes that train into this folder",
        )

    def _is_ours(self, manifest: Manifest) -> bool:
        with suppress(storage.NotFound, CheckpointError):
            found, _ = fetch_manifest(self._run, manifest.step)
            return found.start == self._start and found.parts == manifest.parts
        return False

    def _clear_away(self, step: int) -> None:
        """Removes our own unpublished parts from a disk, which may be full."""
        folder = self._run.folder
        if not folder.is_local:
            return
        with suppress(storage.StorageError, CheckpointError):
            prefix = f"{names.checkpoint_folder(step)}/{names.start_name(self._start)}-part-"
            ours = [entry.name for entry in folder.list(prefix)]
            try:
                manifest, _ = fetch_manifest(self._run, step)
                if manifest.start == self._start:
                    return
            except storage.NotFound:
                pass
            for name in ours:
                folder.delete(name)
