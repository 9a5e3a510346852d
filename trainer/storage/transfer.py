"""Bytes on their way from and to a bucket, checked while they pass.

Owns the sinks and sources that count, checksum (CRC32C) and bound a transfer.
Does not know requests or retries.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

import google_crc32c

from trainer.storage.folder import DiskFault
from trainer.storage.retry import Budget

_READ_BYTES = 1024 * 1024


class Sink:
    """What a download is written to. Looks like a file to the client.

    Args:
        stream: Seekable, empty at first.

    Attributes:
        budget: Of the call that this download belongs to.
        received_bytes: How many bytes came since the last `restart`.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._checksum = google_crc32c.Checksum()
        self.budget: Budget | None = None
        self.received_bytes = 0

    @classmethod
    def in_memory(cls) -> Self:
        """A sink whose `content` can be had as bytes."""
        return cls(io.BytesIO())

    def write(self, chunk: bytes) -> int:
        """Take the next bytes.

        Raises:
            TimeoutError: They come so slowly that the call's time is over.
            DiskFault: The file under the sink cannot take them.
        """
        try:
            self._stream.write(chunk)
        except OSError as error:
            raise DiskFault(error) from error
        self._checksum.update(chunk)
        self.received_bytes += len(chunk)
        if self.budget is not None:
            self.budget.reached(self.received_bytes)
        return len(chunk)

    def restart(self) -> None:
        """Forget everything: what came cannot be trusted."""
        self._stream.seek(0)
        self._stream.truncate()
        self._checksum = google_crc32c.Checksum()
        self.received_bytes = 0

    def content(self) -> bytes:
        """All that came."""
        self._stream.seek(0)
        return self._stream.read()

    @property
    def crc32c(self) -> str:
        """Checksum of all that came, as the service spells it."""
        return _spelled(self._checksum)


class Source:
    """What an upload is read from: bytes or a file, opened anew for each try."""

    def __init__(self, content: bytes | Path) -> None:
        self._content = content

    @contextmanager
    def open(self, budget: Budget) -> Iterator[tuple["_Counted", int, str]]:
        """Give a stream at its beginning, its size in bytes and its CRC32C.

        Args:
            budget: Told how far the stream has been read.

        Raises:
            DiskFault: The file cannot be read.
        """
        if isinstance(self._content, bytes):
            checksum = _spelled(google_crc32c.Checksum(self._content))
            yield _Counted(io.BytesIO(self._content), budget), len(self._content), checksum
            return
        try:
            stream = self._content.open("rb")
        except OSError as error:
            raise DiskFault(error) from error
        with stream:
            size_bytes, checksum = _measure(stream)
            yield _Counted(stream, budget), size_bytes, checksum


class _Counted:
    """A stream that tells the budget how far it is: what lies behind has been sent."""

    def __init__(self, stream: BinaryIO, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget
        self.tell = stream.tell
        self.seek = stream.seek

    def read(self, size: int = -1) -> bytes:
        self._budget.reached(self._stream.tell())
        try:
            return self._stream.read(size)
        except OSError as error:
            raise DiskFault(error) from error


def _measure(stream: BinaryIO) -> tuple[int, str]:
    checksum = google_crc32c.Checksum()
    try:
        while chunk := stream.read(_READ_BYTES):
            checksum.update(chunk)
        size_bytes = stream.tell()
        stream.seek(0)
    except OSError as error:
        raise DiskFault(error) from error
    return size_bytes, _spelled(checksum)


def _spelled(checksum: google_crc32c.Checksum) -> str:
    return base64.b64encode(checksum.digest()).decode("ascii")
