"""One published checkpoint: loading and verifying its tensors, and describing it.

Owns the single pass in which a part is read, verified and taken apart. Does not
choose between checkpoints, see `trainer.checkpoint.reader`. Writes nothing.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer import storage
from trainer.checkpoint.format import Manifest, PartEntry, damaged, deserialise
from trainer.errors import CheckpointError
from trainer.run_folder import RunFolder, StartRecord, names, step_name

_READ_THREADS = 4


@dataclass
class Checkpoint:
    """A published checkpoint.

    Attributes:
        run: The run it belongs to.
        manifest: What it holds.
        generation: Of the manifest that was read.
        superseded_by: The later start that took its step, or None; then it does not count.
    """

    run: RunFolder
    manifest: Manifest
    generation: storage.Generation
    superseded_by: StartRecord | None = None
    _held: dict[str, np.ndarray] | None = field(default=None, repr=False)
    _held_prefixes: tuple[str, ...] | None = field(default=None, repr=False)

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.manifest.step

    @property
    def parts_sha256(self) -> str:
        """SHA-256 over those of its parts: the same where every byte of every tensor is."""
        digests = "".join(part.sha256 for part in self.manifest.parts)
        return hashlib.sha256(digests.encode()).hexdigest()

    @property
    def images_seen(self) -> int:
        """Real pictures shown to the discriminator."""
        return self.manifest.images_seen

    @property
    def meta(self) -> dict[str, Any]:
        """What the writer kept beside the tensors."""
        return self.manifest.meta

    @property
    def name(self) -> str:
        """Such as `step-000012000`."""
        return step_name(self.step)

    @property
    def address(self) -> str:
        """Where it lies."""
        return storage.join(self.run.address, names.checkpoint_folder(self.step))

    def verify(self, prefixes: Sequence[str] | None = None) -> None:
        """Reads and verifies, and keeps the tensors for the next `load` with these prefixes.

        Raises:
            CheckpointError: A part is missing or is not what the manifest says.
        """
        self._held = self._read(prefixes)
        self._held_prefixes = None if prefixes is None else tuple(prefixes)

    def load(self, prefixes: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Returns the tensors by name, verified.

        What `find_newest` or `open_step` read while verifying is handed over, once; it is
        not read again.

        Args:
            prefixes: Only tensors whose names begin with one of these, e.g. `("ema/",)`;
                parts that hold none of them are not read. None for all.

        Raises:
            CheckpointError: A part is missing or is not what the manifest says.
        """
        held, held_prefixes = self._held, self._held_prefixes
        if held is not None and held_prefixes in (None, prefixes and tuple(prefixes)):
            self._held = None
            return {name: array for name, array in held.items() if _wanted(name, prefixes)}
        return self._read(prefixes)

    def _read(self, prefixes: Sequence[str] | None) -> dict[str, np.ndarray]:
        wanted = {
            entry.part for name, entry in self.manifest.tensors.items() if _wanted(name, prefixes)
        }
        parts = [part for part in self.manifest.parts if prefixes is None or part.name in wanted]
        tensors: dict[str, np.ndarray] = {}
        with ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="checkpoint-read") as pool:
            for arrays in pool.map(self._read_part, parts):
                tensors.update(arrays)
        return {name: array for name, array in tensors.items() if _wanted(name, prefixes)}

    def _read_part(self, part: PartEntry) -> dict[str, np.ndarray]:
        name = f"{names.checkpoint_folder(self.step)}/{part.name}"
        address = storage.join(self.run.address, name)
        try:
            data = self.run.folder.read(name)
        except storage.NotFound as error:
            raise damaged(address, "is missing") from error
        held = {n: entry for n, entry in self.manifest.tensors.items() if entry.part == part.name}
        return deserialise(data, part, held, address)


def _wanted(name: str, prefixes: Sequence[str] | None) -> bool:
    return prefixes is None or name.startswith(tuple(prefixes))


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns what `catgan inspect` shows of a checkpoint: plain values, ready for JSON.

    Reads and verifies every part; `problem` says what is wrong, empty where it is whole.
    """
    problem = ""
    try:
        checkpoint.verify()
        checkpoint.load()
    except CheckpointError as error:
        problem = error.what
    later = checkpoint.superseded_by
    groups: dict[str, dict[str, int]] = {}
    for name, entry in checkpoint.manifest.tensors.items():
        group = groups.setdefault(name.split("/")[0], {"tensors": 0, "numbers": 0})
        group["tensors"] += 1
        group["numbers"] += int(np.prod(entry.shape, dtype=np.int64))
    return {
        "kind": "checkpoint",
        "address": checkpoint.address,
        "step": checkpoint.step,
        "images_seen": checkpoint.images_seen,
        "start": checkpoint.manifest.start,
        "adopted_by": list(checkpoint.manifest.adopted_by),
        "whole": not problem,
        "problem": problem,
        "counts": not problem and later is None,
        "superseded_by": later.number if later else None,
        "size_bytes": checkpoint.manifest.size_bytes,
        "parts": [part.model_dump() for part in checkpoint.manifest.parts],
        "groups": groups,
        "meta": checkpoint.meta,
    }
