"""Writing to and deleting from one bucket, each exactly once.

Owns what makes a write safe to try again. Reading is in `objects.py`, waiting in
`retry.py`.

Every write and deletion is conditional on the wire, those too that the caller
did not make so. A request that got no answer in time may still be carried out
much later; without a condition it would undo what has been written since.

Every write carries a token of its own in the object's metadata. A write whose
first success was lost on the way back is answered 412 when it is tried again;
the token tells whether what is there now is our own.
"""

from __future__ import annotations

import mimetypes
import secrets
from typing import TYPE_CHECKING

from google.api_core import exceptions as api

from trainer.storage import faults
from trainer.storage.folder import ABSENT, Generation, conflict
from trainer.storage.objects import BucketObjects, generation_of
from trainer.storage.retry import Budget, call, of_each_chunk
from trainer.storage.transfer import Source

if TYPE_CHECKING:
    from google.cloud.storage import Blob

CHUNK_BYTES = 8 * 1024 * 1024
"""Larger objects go up in chunks of this size, in a session that survives faults."""
_KNOWN_OBJECTS = 1000
_WRITE_KEY = "catgan-write"


class BucketWrites:
    """Writes and deletions in one bucket, by full keys.

    Args:
        objects: The same bucket's reads.
    """

    def __init__(self, objects: BucketObjects) -> None:
        self._objects = objects
        self._known: dict[str, Generation] = {}

    def put(
        self, key: str, address: str, source: Source, if_generation: Generation | None
    ) -> Generation:
        """Create or replace an object; the service verifies the checksum.

        Raises:
            Conflict: The object is not what `if_generation` says.
        """
        token = secrets.token_hex(8)
        guess = if_generation or self._known.get(key, ABSENT)

        def attempt(budget: Budget) -> Generation:
            nonlocal guess
            while True:
                try:
                    return self._send(key, address, source, guess, token, budget)
                except api.PreconditionFailed:
                    found = self._objects.look(key, address, budget=budget)
                if found is not None and (found.metadata or {}).get(_WRITE_KEY) == token:
                    return generation_of(found)
                if if_generation is not None:
                    raise conflict(address, if_generation, generation_of(found))
                guess = generation_of(found)
                budget.reached(0)

        generation = call("write", address, attempt)
        if if_generation is None:
            self._remember(key, generation)
        return generation

    def remove(self, key: str, address: str, if_generation: Generation | None) -> bool:
        """Delete an object; returns False if there was none.

        Raises:
            Conflict: The object is not what `if_generation` says.
        """
        maybe_done = False
        target: Blob | None = None

        def attempt(budget: Budget) -> bool:
            nonlocal maybe_done, target
            while True:
                # Kept over tries: one request each, or every second failing would fail all.
                target = target or self._objects.look(key, address, budget=budget)
                if target is None:
                    return maybe_done
                if if_generation not in (None, generation_of(target)):
                    raise conflict(address, if_generation or ABSENT, generation_of(target))
                before, maybe_done = maybe_done, True
                try:
                    self._objects.blob(key).delete(
                        if_generation_match=target.generation, timeout=budget.timeout, retry=None
                    )
                    return True
                except api.NotFound:
                    return before  # after a lost answer it was we who deleted it
                except api.PreconditionFailed:
                    maybe_done, target = before, None
                    budget.reached(0)

        return call("delete", address, attempt)

    def _send(
        self,
        key: str,
        address: str,
        source: Source,
        expected: Generation,
        token: str,
        budget: Budget,
    ) -> Generation:
        """Upload once: in one request, or in chunks if the content is large."""
        blob = self._objects.blob(key)
        blob.metadata = {_WRITE_KEY: token}
        blob.cache_control = "no-store"  # a public bucket would serve old bytes
        with source.open(budget) as (stream, size_bytes, crc32c):
            large = size_bytes > CHUNK_BYTES
            if large:
                blob.chunk_size = CHUNK_BYTES
            try:
                blob.upload_from_file(
                    stream,
                    size=size_bytes,
                    content_type=mimetypes.guess_type(key)[0] or "application/octet-stream",
                    if_generation_match=int(expected.value or 0),  # 0: must be absent
                    timeout=budget.timeout,
                    # The client deletes a large object whose checksum it finds wrong
                    # afterwards, without a precondition; so the service checks instead.
                    checksum=None if large else "crc32c",
                    crc32c_checksum_value=crc32c if large else None,
                    retry=of_each_chunk(address, budget) if large else None,
                )
            except api.RetryError as error:
                raise error.cause or TimeoutError("the upload took too long") from error
        if blob.crc32c not in (None, crc32c):
            raise faults.Damaged("the checksum of what was stored is not the content's")
        self._objects.saw_bucket()
        return generation_of(blob)

    def _remember(self, key: str, generation: Generation) -> None:
        """Keep our own last write's generation: the next one's best guess."""
        if len(self._known) >= _KNOWN_OBJECTS:
            self._known.clear()
        self._known[key] = generation
