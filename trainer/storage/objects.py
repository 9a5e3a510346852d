"""The objects of one bucket, as requests: looking, reading, listing.

Owns how each read is made of requests to Google Cloud Storage and when it counts
as done. Writing is in `writes.py`. Which faults pass is `faults.py`'s, how long
they are waited out `retry.py`'s; the client's own retries are off (`retry=None`),
so that there is one policy with one bound. Does not know folders and names:
`bucket.py` does.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from google.api_core import exceptions as api

from trainer.storage import faults
from trainer.storage.client import client, emulator
from trainer.storage.folder import ABSENT, Generation, NotFound, not_found
from trainer.storage.retry import Budget, call
from trainer.storage.transfer import Sink

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

PAGE_OBJECTS = 1000
_LISTED = "items(name,size,generation),nextPageToken"

_seen_buckets: set[tuple[str, str]] = set()


class BucketObjects:
    """Reads of the objects of one bucket, by their full keys.

    Each takes the object's `address` beside its key, for messages. All raise
    `StorageError` when the deadline is over or a person must act.

    Args:
        bucket: The bucket's name.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    def look(self, key: str, address: str, *, budget: Budget | None = None) -> Blob | None:
        """The object's metadata; None if there is no such object."""

        def attempt(budget: Budget) -> Blob | None:
            blob = self._bucket().get_blob(key, timeout=budget.timeout, retry=None)
            if blob is None:
                self._absent(address, budget)
            return blob

        return call("look at", address, attempt, budget=budget)

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
                pinned = self.look(key, address, budget=budget)
            blob = self.blob(key)
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
            self.saw_bucket()
            return generation_of(blob)

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
                self.blob(key).download_to_file(
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
            self.saw_bucket()
            return items, iterator.next_page_token

        return call("list", address, attempt)

    def _bucket(self) -> Bucket:
        return client().bucket(self.bucket)

    def blob(self, key: str) -> Blob:
        """A handle for the object; no input or output."""
        return self._bucket().blob(key)

    def saw_bucket(self) -> None:
        """Note that the bucket answered, so that a 404 means a missing object."""
        _seen_buckets.add((emulator(), self.bucket))

    def _absent(self, address: str, budget: Budget) -> NotFound:
        """The error of a missing object; raises the one of a missing bucket if that is it.

        A 404 does not say which of the two is missing, so the bucket is asked
        for, once for each process.
        """
        if (emulator(), self.bucket) not in _seen_buckets:
            call("look for the bucket of", address, self._look_for_bucket, budget=budget)
            self.saw_bucket()
        return not_found(address)

    def _look_for_bucket(self, budget: Budget) -> None:
        listing = client().list_blobs(
            self.bucket, max_results=1, timeout=budget.timeout, retry=None
        )
        with suppress(api.Forbidden):  # it is there, or not ours to know
            next(listing.pages, None)


def generation_of(blob: Blob | None) -> Generation:
    """The generation of an object that was looked at or written."""
    return Generation(str(blob.generation)) if blob else ABSENT
