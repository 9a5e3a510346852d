"""The objects of one bucket, as requests.

Owns how each operation on an object is made of requests to Google Cloud Storage
and when it counts as done. Which faults pass is `faults.py`'s, how long they are
waited out `retry.py`'s; the client's own retries are off (`retry=None`), so that
there is one policy with one bound. Does not know folders and names: `bucket.py`.

Every write carries a token of its own in the object's metadata. A write whose
first success was lost on the way back is answered 412 when it is tried again;
the token tells whether what is there now is our own.
"""

from __future__ import annotations

import mimetypes
import secrets
import threading
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions as api

from trainer.storage import faults
from trainer.storage.client import client, emulator
from trainer.storage.folder import ABSENT, Generation, NotFound, conflict, not_found
from trainer.storage.retry import Budget, call, of_each_chunk
from trainer.storage.transfer import Sink, Source

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

CHUNK_BYTES = 8 * 1024 * 1024
"""Larger objects go up in chunks of this size, in a session that survives faults."""
PAGE_OBJECTS = 1000
_TOKEN = "catgan-write"
_LISTED = "items(name,size,generation),nextPageToken"

_seen_lock = threading.Lock()
_seen_buckets: set[tuple[str, str]] = set()


class BucketObjects:
    """Operations on the objects of one bucket, by their full keys.

    Each takes the object's `address` beside its key, for messages. All raise
    `StorageError` when the deadline is over or a person must act.

    Args:
        bucket: The bucket's name.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    def look(self, key: str, address: str) -> Blob | None:
        """The object's metadata; None if there is no such object."""

        def attempt(budget: Budget) -> Blob | None:
            blob = self._get(key, budget)
            if blob is None:
                self._absent(address, budget)
            return blob

        return call("look at", address, attempt)

    def fetch(self, key: str, address: str, sink: Sink) -> Generation:
        """Receive a whole object, as stored, and verify its checksum.

        After a cut stream it goes on where the stream was cut.

        Raises:
            NotFound: There is no such object.
        """
        pinned: Blob | None = None

        def attempt(budget: Budget) -> Generation:
            nonlocal pinned
            sink.budget = budget
            if sink.received_bytes == 0:
                pinned = None
            elif pinned is None:
                pinned = self._get(key, budget)
            blob = self._blob(key)
            try:
                blob.download_to_file(
                    sink,
                    start=sink.received_bytes or None,
                    if_generation_match=pinned.generation if pinned else None,
                    raw_download=True,
                    checksum=None,  # verified below, over all tries together
                    timeout=budget.timeout,
                    retry=None,
                )
            except (api.PreconditionFailed, api.RequestRangeNotSatisfiable):
                sink.restart()
                raise faults.Damaged("the object was replaced while it was read") from None
            except api.NotFound:
                raise self._absent(address, budget) from None
            expected = blob.crc32c or (pinned.crc32c if pinned else None)
            if expected not in (None, sink.crc32c):
                sink.restart()
                raise faults.Damaged("the checksum of what arrived is not the object's")
            self._saw_bucket()
            return Generation(str(blob.generation))

        return call("read", address, attempt)

    def fetch_range(self, key: str, address: str, start: int, end: int | None) -> bytes:
        """Bytes from `start` up to, not including, `end`; fewer beyond the object's end.

        Raises:
            NotFound: There is no such object.
        """

        def attempt(budget: Budget) -> bytes:
            sink = Sink.in_memory()
            sink.budget = budget
            try:
                self._blob(key).download_to_file(
                    sink,
                    start=start,
                    end=None if end is None else end - 1,
                    raw_download=True,
                    checksum=None,
                    timeout=budget.timeout,
                    retry=None,
                )
            except api.RequestRangeNotSatisfiable:
                return b""
            except api.NotFound:
                raise self._absent(address, budget) from None
            return sink.content()

        return call("read", address, attempt)

    def put(
        self, key: str, address: str, source: Source, if_generation: Generation | None
    ) -> Generation:
        """Create or replace an object; the service verifies the checksum.

        Raises:
            Conflict: The object is not what `if_generation` says.
        """
        token = secrets.token_hex(8)

        def attempt(budget: Budget) -> Generation:
            with source.open() as (stream, size_bytes, crc32c):
                budget.moved(size_bytes)
                blob = self._blob(key)
                blob.metadata = {_TOKEN: token}
                blob.cache_control = "no-store"  # a public bucket would serve old bytes
                try:
                    _send(blob, stream, size_bytes, crc32c, if_generation, budget)
                except api.PreconditionFailed:
                    found = self._get(key, budget)
                    if found is None or (found.metadata or {}).get(_TOKEN) != token:
                        raise _lost(address, if_generation, found, budget) from None
                    blob = found
            if blob.crc32c not in (None, crc32c):
                raise faults.Damaged("the checksum of what was stored is not the content's")
            self._saw_bucket()
            return Generation(str(blob.generation))

        return call("write", address, attempt)

    def remove(self, key: str, address: str, if_generation: Generation | None) -> bool:
        """Delete an object; returns False if there was none.

        Raises:
            Conflict: The object is not what `if_generation` says.
        """

        def attempt(budget: Budget) -> bool:
            try:
                self._blob(key).delete(
                    if_generation_match=_number(if_generation), timeout=budget.timeout, retry=None
                )
            except api.NotFound:
                self._absent(address, budget)
                return budget.failures > 0  # after a lost answer it was we who deleted it
            except api.PreconditionFailed:
                found = self._get(key, budget)
                if found is not None:
                    raise _lost(address, if_generation, found, budget) from None
                return budget.failures > 0
            return True

        return call("delete", address, attempt)

    def page(self, prefix: str, address: str, token: str | None) -> tuple[list[Blob], str | None]:
        """One page of the objects whose keys begin with `prefix`, and the next page's token."""

        def attempt(budget: Budget) -> tuple[list[Blob], str | None]:
            iterator = client().list_blobs(
                self.bucket,
                prefix=prefix,
                page_token=token,
                page_size=PAGE_OBJECTS,
                fields=_LISTED,
                timeout=budget.timeout,
                retry=None,
            )
            items = list(next(iterator.pages, ()))
            self._saw_bucket()
            return items, iterator.next_page_token

        return call("list", address, attempt)

    def _bucket(self) -> Bucket:
        return client().bucket(self.bucket)

    def _blob(self, key: str) -> Blob:
        return self._bucket().blob(key)

    def _get(self, key: str, budget: Budget) -> Blob | None:
        return self._bucket().get_blob(key, timeout=budget.timeout, retry=None)

    def _saw_bucket(self) -> None:
        with _seen_lock:
            _seen_buckets.add((emulator(), self.bucket))

    def _absent(self, address: str, budget: Budget) -> NotFound:
        """The error of a missing object; raises the one of a missing bucket if that is it.

        A 404 does not say which of the two is missing, so the bucket is asked
        for, once for each process.
        """
        if (emulator(), self.bucket) not in _seen_buckets:
            try:
                listing = client().list_blobs(
                    self.bucket, max_results=1, timeout=budget.timeout, retry=None
                )
                next(listing.pages, None)
            except api.NotFound:
                raise faults.missing_bucket(address) from None
            except api.Forbidden:
                pass  # it is there, or we may not know
            self._saw_bucket()
        return not_found(address)


def _send(
    blob: Blob,
    stream: Any,
    size_bytes: int,
    crc32c: str,
    if_generation: Generation | None,
    budget: Budget,
) -> None:
    """Upload in one request, or in chunks if it is large."""
    large = size_bytes > CHUNK_BYTES
    if large:
        blob.chunk_size = CHUNK_BYTES
    try:
        blob.upload_from_file(
            stream,
            size=size_bytes,
            content_type=mimetypes.guess_type(blob.name)[0] or "application/octet-stream",
            if_generation_match=_number(if_generation),
            timeout=budget.timeout,
            # The client deletes a large object whose checksum it finds wrong
            # afterwards, without a precondition; so the service checks instead.
            checksum=None if large else "crc32c",
            crc32c_checksum_value=crc32c if large else None,
            retry=of_each_chunk(budget) if large else None,
        )
    except api.RetryError as error:
        raise error.cause or TimeoutError("the upload took too long") from error


def _number(generation: Generation | None) -> int | None:
    """A generation as the service counts them; 0 is absent."""
    return None if generation is None else int(generation.value or 0)


def _lost(
    address: str, expected: Generation | None, found: Blob | None, budget: Budget
) -> Exception:
    now = Generation(str(found.generation)) if found else ABSENT
    error = conflict(address, expected or ABSENT, now)
    error.uncertain = budget.failures > 0
    return error
