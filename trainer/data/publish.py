"""From converted pictures to the files of a data set.

Owns the shards' content, the lists beside them and the order of writing: the
manifest last, so that an unfinished data set is none.
"""

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from trainer import storage
from trainer.data.findings import Findings
from trainer.data.layout import part_sizes, shard_count, split_counts
from trainer.data.ledger import KEPT, Ledger, Stored
from trainer.data.shards import (
    ATTRIBUTES_NAME,
    MANIFEST_NAME,
    REJECTED_NAME,
    SPLITS,
    Manifest,
    Shard,
    parse_manifest,
    read_frames,
    shard_name,
)
from trainer.data.tfds_files import FEATURES_NAME, INFO_NAME, metadata_files
from trainer.data.workplace import WORK_NAME
from trainer.errors import DataError

_WRITES_AT_ONCE = 4
_NAMES = {MANIFEST_NAME, REJECTED_NAME, ATTRIBUTES_NAME, FEATURES_NAME, INFO_NAME}
_SHARD = re.compile(rf"({'|'.join(SPLITS)})-\d+-of-\d+\.tfrecord")


def is_ours(name: str) -> bool:
    """Tells whether a file in a data set's folder is one that `prepare` writes."""
    in_work = name.startswith(f"{WORK_NAME}/")
    return name in _NAMES or in_work or _SHARD.fullmatch(name) is not None


def write_shards(
    ledger: Ledger,
    target: storage.Folder,
    val_fraction: float,
    advance: Callable[[int], None] = lambda done: None,
) -> tuple[Shard, ...]:
    """Deals the kept pictures to shards and writes them.

    The first pictures of the shuffled order are for validation, so a picture
    mostly stays in its split when others come or go.

    Args:
        ledger: Holds the pictures.
        target: The data set's folder.
        val_fraction: Share of the validation split.
        advance: Called with the number of pictures written so far.
    """
    train, validation = split_counts(ledger.count(KEPT), val_fraction)
    places = {"validation": (0, validation), "train": (validation, train)}
    shards: list[Shard] = []
    with _Writer(target) as writer:
        for split in SPLITS:
            start, count = places[split]
            parts = shard_count(count, partial(_sizes, ledger, start, count))
            pictures = ledger.kept_by_place(start, count)
            for index, records in enumerate(part_sizes(count, parts) if parts else []):
                data = _shard_bytes(ledger, islice(pictures, records))
                name = shard_name(split, index, parts)
                digest = hashlib.sha256(data).hexdigest()
                shards.append(
                    Shard(name=name, split=split, records=records, bytes=len(data), sha256=digest)
                )
                writer.write(name, data)
                advance(sum(shard.records for shard in shards))
    return tuple(shards)


def _sizes(ledger: Ledger, start: int, count: int) -> Iterator[int]:
    return (stored.bytes for stored in ledger.kept_by_place(start, count))


class DamagedWork(DataError):
    """What was converted is not what the disk gives back; it is of no use any more."""


def _shard_bytes(ledger: Ledger, pictures: Iterable[Stored]) -> bytes:
    data = b"".join(ledger.record(stored) for stored in pictures)
    try:
        for _ in read_frames(data, f"{ledger.folder}/records.bin"):
            pass  # what the disk gave back is what was written
    except DataError as error:
        raise DamagedWork(
            error.what,
            expected=error.expected,
            remedy="run the same command again: it begins anew",
        ) from error
    return data


class _Writer:
    """Writes a few files at once to a bucket, which is slow to answer but not to take.

    To a disk one at a time: more would only hold more memory while it is busy.
    """

    def __init__(self, target: storage.Folder) -> None:
        self._target = target
        self._threads = ThreadPoolExecutor(_WRITES_AT_ONCE)
        self._waiting: deque[Future[object]] = deque()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self._waiting:
                future.result()

    def write(self, name: str, data: bytes) -> None:
        if self._target.is_local:
            self._target.write(name, data)
            return
        if len(self._waiting) >= _WRITES_AT_ONCE:
            self._waiting.popleft().result()
        self._waiting.append(self._threads.submit(self._target.write, name, data))


def write_lists(ledger: Ledger, target: storage.Folder) -> None:
    """Writes `rejected.jsonl`, and `attributes.jsonl` where pictures have any."""
    findings = Findings(ledger.database)
    lines = (
        json.dumps({"id": name, "reason": reason, "detail": detail}, ensure_ascii=False)
        for name, reason, detail in findings.rejected()
    )
    _write_lines(ledger.folder / REJECTED_NAME, lines, target)
    if next(findings.attributes(), None) is not None:
        _write_lines(ledger.folder / ATTRIBUTES_NAME, findings.attributes(), target)


def _write_lines(path: Path, lines: Iterable[str], target: storage.Folder) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line + "\n")
    target.upload(path.name, path)


def write_manifest(
    manifest: Manifest, target: storage.Folder, over: Manifest | None = None
) -> None:
    """Writes the metadata, then the manifest, and removes shards of earlier tries.

    Args:
        manifest: Of the shards that are written.
        target: The data set's folder.
        over: The manifest that may be there; None: there must be none.

    Raises:
        Conflict: Another one is there.
    """
    expected = storage.ABSENT
    with suppress(storage.NotFound):
        data, generation = target.read_versioned(MANIFEST_NAME)
        expected = generation if parse_manifest(data) == over else storage.ABSENT
    for name, data in metadata_files(manifest).items():
        target.write(name, data)
    # On condition: two machines may have prepared it.
    target.write(MANIFEST_NAME, manifest.to_json(), if_generation=expected)
    named = {shard.name for shard in manifest.shards}
    stale = [entry.name for entry in target.list() if entry.name.endswith(".tfrecord")]
    for name in stale:
        if is_ours(name) and name not in named:
            target.delete(name)
