"""What a folder of objects can do, whatever it lies on.

Owns the interface, the values that go through it and its two own errors. Does
not know where bytes lie: `local.py` and `bucket.py` do.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trainer.errors import StorageError
from trainer.storage.address import check_name


class NotFound(StorageError):
    """The object does not exist (its folder or bucket may)."""


class Conflict(StorageError):
    """A conditional write or delete found another generation than it expected.

    Where an earlier try of this very call failed without an answer, it may have been
    applied and replaced since: look at what is there now.
    """


class DiskFault(Exception):
    """The disk at our end of a transfer failed; the bucket has no part in it.

    Args:
        error: What the disk said.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, order=True, slots=True)
class Generation:
    """Which write an object is the result of. Opaque; every write makes a new one.

    Attributes:
        value: Text that may be stored and turned back: `Generation(text)`.
    """

    value: str

    def __str__(self) -> str:
        return self.value or "absent"


ABSENT = Generation("")
"""Expected by a write that must create the object."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed object; `name` is relative to the folder that was listed."""

    name: str
    size_bytes: int
    generation: Generation


class Folder(ABC):
    """A folder of named objects. Safe to use from several threads.

    Objects appear whole or not at all, and so do their replacements. Every
    method may raise `StorageError`, which names the address and what to do, and
    `ConfigError` for a name that would leave the folder.

    Attributes:
        address: Canonical: `gs://bucket/prefix` or an absolute path.
        is_local: Whether `path` gives paths.
    """

    address: str
    is_local: bool

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def address_of(self, name: str) -> str:
        """The full address of an object, for messages and records."""
        return f"{self.address.rstrip('/')}/{check_name(name, within=self.address)}"

    @abstractmethod
    def child(self, sub: str) -> Self:
        """The folder `sub` inside this one. No input or output."""

    @abstractmethod
    def path(self, name: str) -> Path | None:
        """The object's path on this machine, existing or not; None in a bucket."""

    @abstractmethod
    def read_versioned(self, name: str) -> tuple[bytes, Generation]:
        """The object's bytes and the generation that they are.

        Raises:
            NotFound: There is no such object.
        """

    @abstractmethod
    def read(self, name: str, *, start: int | None = None, end: int | None = None) -> bytes:
        """The object's bytes from `start` up to, not including, `end`.

        Ranges beyond the end are cut, as in a slice; neither may be negative. A
        whole object's checksum is verified; a range's cannot be.

        Raises:
            NotFound: There is no such object.
        """

    @abstractmethod
    def write(
        self, name: str, data: bytes | memoryview, *, if_generation: Generation | None = None
    ) -> Generation:
        """Create or replace the object.

        Args:
            name: Name inside the folder.
            data: The whole content.
            if_generation: `ABSENT` to create only, a generation to replace only
                that one, None to write whatever is there.

        Returns:
            The generation written.

        Raises:
            Conflict: The object is not what `if_generation` says.
        """

    @abstractmethod
    def upload(
        self, name: str, local_path: Path | str, *, if_generation: Generation | None = None
    ) -> Generation:
        """As `write`, from a file of any size in bounded memory; content verified."""

    @abstractmethod
    def download(self, name: str, local_path: Path | str) -> None:
        """Copy the object to a file, which appears whole; content verified.

        Raises:
            NotFound: There is no such object.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Entry]:
        """All objects whose name begins with `prefix`, at any depth, sorted by name.

        A folder that does not exist is empty. Unfinished writes are not listed.
        """

    @abstractmethod
    def stat(self, name: str) -> Entry | None:
        """Size and generation of one object; None if there is none."""

    @abstractmethod
    def delete(
        self, name: str, *, if_generation: Generation | None = None, missing_ok: bool = True
    ) -> None:
        """Remove the object.

        Raises:
            Conflict: It is of another generation than `if_generation`.
            NotFound: There is none, and `missing_ok` is False.
        """

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Bytes that can still be written here; None where that is not known."""

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""
        return self.stat(name) is not None


def check_range(start: int | None, end: int | None) -> tuple[int, int | None]:
    """Return the range with its start filled in.

    Raises:
        ValueError: A bound is negative.
    """
    if (start or 0) < 0 or (end or 0) < 0:
        raise ValueError(f"start={start} and end={end} must be 0 or more")
    return start or 0, end


def conflict(address: str, expected: Generation, found: Generation) -> Conflict:
    """The error of a conditional call on `address` that lost."""
    return Conflict(
        f"{address} is of generation {found}",
        expected=f"generation {expected}",
        remedy="read it again and decide on what it holds now; another process changed it",
    )


def not_found(address: str) -> NotFound:
    """The error of a call on `address`, where nothing is."""
    return NotFound(
        f"{address} does not exist",
        expected="an object at this address",
        remedy="check the spelling of the address, or write the object first",
    )
