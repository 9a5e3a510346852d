"""Metrics rows: JSON lines in parts that never grow beyond 1 MB.

Owns writing the parts of one start and reading a run's rows as one history.
Does not decide which figures a row holds; a row has at least `step`.

An object in a bucket cannot be appended to, so the open part is written whole at
each flush until it is full. A part is replaced atomically: no line is ever cut.
"""

import json
import logging
import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from trainer import storage
from trainer.errors import CheckpointError
from trainer.run_folder import names
from trainer.run_folder.folder import RunFolder

PART_BYTES = 1_000_000
"""Most bytes of one part; a single longer row gets a part of its own."""

log = logging.getLogger("catgan.metrics")


class MetricsLog:
    """The rows that one start writes. Safe to use from several threads.

    Args:
        run: The run folder.
        start: Number of this start.
        first_step: The step it goes on from.
        part_bytes: Most bytes of one part.
    """

    def __init__(
        self, run: RunFolder, start: int, first_step: int, *, part_bytes: int = PART_BYTES
    ):
        self._folder = run.folder
        self._start = start
        self._first_step = first_step
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._parts = [_Part(names.metrics_part(start, first_step, 1))]
        self._opened = 1

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a row to what the next flush writes; does no I/O.

        Args:
            row: `step`, `images_seen`, `seconds` and named figures. NumPy scalars become
                numbers; NaN and infinity become null, for JSON has neither.
        """
        line = json.dumps(_plain(row), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            part = self._parts[-1]
            if part.lines and part.size_bytes + len(line) > self._part_bytes:
                self._opened += 1
                part = _Part(names.metrics_part(self._start, self._first_step, self._opened))
                self._parts.append(part)
            part.lines.append(line)
            part.size_bytes += len(line)
            part.durable = False

    def flush(self) -> None:
        """Makes every row appended so far durable.

        Raises:
            StorageError: It could not be written; the rows are kept for the next flush.
        """
        with self._flush_lock:
            for part in list(self._parts):
                with self._lock:
                    if part.durable:
                        continue
                    data = b"".join(part.lines)
                    part.durable = True  # until a row comes while this is being written
                try:
                    self._folder.write(part.name, data)
                except BaseException:
                    part.durable = False
                    raise
            with self._lock:
                full, last = self._parts[:-1], self._parts[-1]
                self._parts = [part for part in full if not part.durable] + [last]


@dataclass
class _Part:
    """One part: its rows so far, and whether all of them have been written."""

    name: str
    lines: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    durable: bool = True


class _Start(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def first_step(self) -> int | None: ...


def read_metrics(run: RunFolder) -> list[dict[str, Any]]:
    """Reads all rows of a run as one history, in order of their steps.

    Where starts overlap the later one holds: rows of a start beyond the first step of a
    later start are dropped, for the run went on from there without them.

    Returns:
        The rows. Lines that are no JSON objects with a whole `step` are skipped with a warning.

    Raises:
        CheckpointError: `run.json` is damaged.
        StorageError: The folder cannot be reached.
    """
    parts = []
    for entry in run.folder.list(f"{names.METRICS}/"):
        parsed = names.parse_metrics_part(entry.name)
        if parsed:
            parts.append((parsed, entry.name))
    record = run.read_record()
    firsts = {start: first for (start, first, _), _ in parts}
    firsts.update(_settled(record.starts if record else ()))
    rows: list[dict[str, Any]] = []
    for (start, _, _), name in sorted(parts):
        last = min((f for number, f in firsts.items() if number > start), default=None)
        for row in _read_part(run, name):
            if last is None or row["step"] <= last:
                rows.append(row)
    return sorted(rows, key=lambda row: row["step"])


def _settled(starts: Iterable[_Start]) -> dict[int, int]:
    return {start.number: start.first_step for start in starts if start.first_step is not None}


def _read_part(run: RunFolder, name: str) -> list[dict[str, Any]]:
    try:
        data = run.folder.read(name)
    except storage.NotFound as error:
        raise CheckpointError(
            f"{storage.join(run.address, name)} vanished while it was being read",
            expected="metrics parts to stay where they are",
            remedy="read again",
        ) from error
    rows = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        step = row.get("step") if isinstance(row, dict) else None
        if isinstance(step, int) and not isinstance(step, bool):
            rows.append(row)
        else:
            log.warning("%s line %d is no metrics row; skipped", name, number)
    return rows


def _plain(value: Any) -> Any:
    """Returns the value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
