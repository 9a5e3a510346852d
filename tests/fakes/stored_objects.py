"""The objects of the bucket server: in memory, or in a folder that outlives it.

Owns generations, metagenerations, checksums and preconditions as Google Cloud
Storage defines them. Knows no HTTP beyond the status that a refusal has.

CRC32C is taken from google-crc32c, because Python's own library has none; that
it agrees with other people's is shown by running the same tests against
fake-gcs-server.
"""

import base64
import hashlib
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c

SETTABLE = ("contentType", "cacheControl", "contentEncoding", "metadata", "contentDisposition")


class Refused(Exception):
    """A request that the service answers with an error status."""

    def __init__(self, status: int, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def crc32c_of(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@dataclass
class StoredObject:
    bucket: str
    name: str
    generation: int
    metageneration: int
    size: int
    crc32c: str
    md5: str
    updated: str
    settable: dict[str, Any] = field(default_factory=dict)

    def resource(self) -> dict[str, Any]:
        """The object as the JSON API describes it: numbers are text there."""
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(self.size),
            "crc32c": self.crc32c,
            "md5Hash": self.md5,
            "etag": f"{self.generation}.{self.metageneration}",
            "storageClass": "STANDARD",
            "timeCreated": self.updated,
            "updated": self.updated,
            **self.settable,
        }


class ObjectStore:
    """Buckets of objects; every change is atomic.

    Args:
        root: Folder to keep them in; None keeps them in memory.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.lock = threading.RLock()
        self._buckets: dict[str, dict[str, StoredObject]] = {}
        self._content: dict[int, bytes] = {}
        self._root = root
        self._clock = itertools.count(time.time_ns() // 1000)
        if root is not None:
            self._load(root)

    def add_bucket(self, name: str) -> None:
        with self.lock:
            self._buckets.setdefault(name, {})
            if self._root is not None:
                (self._root / name).mkdir(parents=True, exist_ok=True)

    def bucket_names(self) -> list[str]:
        with self.lock:
            return sorted(self._buckets)

    def bucket(self, name: str) -> dict[str, StoredObject]:
        try:
            return self._buckets[name]
        except KeyError:
            raise Refused(404, "The specified bucket does not exist.", "notFound") from None

    def find(self, bucket: str, name: str, generation: str | None = None) -> StoredObject:
        with self.lock:
            found = self.bucket(bucket).get(name)
            if found is None or generation not in (None, str(found.generation)):
                raise Refused(404, f"No such object: {bucket}/{name}", "notFound")
            return found

    def content(self, stored: StoredObject) -> bytes:
        if self._root is None:
            return self._content[stored.generation]
        return (self._root / stored.bucket / f"{stored.generation}.data").read_bytes()

    def insert(
        self,
        bucket: str,
        name: str,
        data: bytes,
        settable: Mapping[str, Any],
        conditions: Mapping[str, str],
    ) -> StoredObject:
        """Create or replace an object whose checksums, where given, hold."""
        crc32c, md5 = crc32c_of(data), md5_of(data)
        for kind, ours in (("crc32c", crc32c), ("md5Hash", md5)):
            theirs = settable.get(kind)
            if theirs not in (None, ours):
                raise Refused(
                    400, f'Provided {kind} "{theirs}" doesn\'t match calculated {kind} "{ours}".'
                )
        with self.lock:
            before = self.bucket(bucket).get(name)
            check(before, conditions)
            stored = StoredObject(
                bucket=bucket,
                name=name,
                generation=next(self._clock),
                metageneration=1,
                size=len(data),
                crc32c=crc32c,
                md5=md5,
                updated=time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
                settable={k: settable[k] for k in SETTABLE if k in settable},
            )
            self._keep(stored, data)
            self._buckets[bucket][name] = stored
            if before is not None:
                self._drop(before)
            return stored

    def patch(
        self,
        bucket: str,
        name: str,
        changes: Mapping[str, Any],
        conditions: Mapping[str, str],
    ) -> StoredObject:
        with self.lock:
            stored = self.find(bucket, name)
            check(stored, conditions)
            stored.settable.update({k: changes[k] for k in SETTABLE if k in changes})
            stored.metageneration += 1
            self._note(stored)
            return stored

    def delete(
        self, bucket: str, name: str, conditions: Mapping[str, str], generation: str | None = None
    ) -> None:
        with self.lock:
            stored = self.find(bucket, name, generation)
            check(stored, conditions)
            del self._buckets[bucket][name]
            self._drop(stored)

    def names(self, bucket: str, keep: Callable[[str], bool]) -> list[str]:
        with self.lock:
            return sorted(name for name in self.bucket(bucket) if keep(name))

    def _keep(self, stored: StoredObject, data: bytes) -> None:
        if self._root is None:
            self._content[stored.generation] = data
            return
        (self._root / stored.bucket / f"{stored.generation}.data").write_bytes(data)
        self._note(stored)

    def _note(self, stored: StoredObject) -> None:
        if self._root is None:
            return
        note = self._root / stored.bucket / f"{stored.generation}.json"
        fresh = note.with_suffix(".new")
        fresh.write_text(json.dumps(stored.__dict__), encoding="utf-8")
        os.replace(fresh, note)

    def _drop(self, stored: StoredObject) -> None:
        if self._root is None:
            self._content.pop(stored.generation, None)
            return
        for suffix in ("json", "data"):
            (self._root / stored.bucket / f"{stored.generation}.{suffix}").unlink()

    def _load(self, root: Path) -> None:
        for folder in sorted(p for p in root.glob("*") if p.is_dir()):
            objects = self._buckets.setdefault(folder.name, {})
            for note in sorted(folder.glob("*.json"), key=lambda p: int(p.stem)):
                stored = StoredObject(**json.loads(note.read_text(encoding="utf-8")))
                objects[stored.name] = stored


def check(
    stored: StoredObject | None, conditions: Mapping[str, str], *, read: bool = False
) -> None:
    """Refuse unless every precondition holds; an object that is not there has generation 0.

    Args:
        stored: The object as it is.
        conditions: The request's query, of which only preconditions are looked at.
        read: A read whose Not-Match fails is answered 304 instead of 412.
    """
    generation = stored.generation if stored else 0
    metageneration = stored.metageneration if stored else 0
    for key, now in (("Generation", generation), ("Metageneration", metageneration)):
        wanted = conditions.get(f"if{key}Match")
        if wanted is not None and _number(wanted) != now:
            raise _unmet(412)
        unwanted = conditions.get(f"if{key}NotMatch")
        if unwanted is not None and _number(unwanted) == now:
            raise _unmet(304 if read else 412)


def source_conditions(query: Mapping[str, str]) -> dict[str, str]:
    """The preconditions of a copy that are about its source, renamed to plain ones."""
    return {
        "if" + key.removeprefix("ifSource"): value
        for key, value in query.items()
        if key.startswith("ifSource")
    }


def _unmet(status: int) -> Refused:
    message = "At least one of the pre-conditions you specified did not hold."
    return Refused(status, message, "conditionNotMet")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused(400, f"Invalid value {text!r} for a generation") from None
