"""The files of a cache folder that several processes share.

Owns names, locks, room and eviction in one folder:

    <sha256>.tfrecord           a whole file, named by what it holds
    <sha256>.<random>.part      room taken for a file that is on its way

Does not know what the files hold or where they come from: see `cache.py`.

Who may do what is settled by `flock`, which the kernel drops when a process
dies, so nothing stale can block anybody:
- a reader holds a shared lock on the file from `open` to the lease's end;
- whoever fetches holds an exclusive lock on its part; a part that can be locked
  belongs to nobody and is removed;
- room is counted, taken and made under a lock on the folder itself, and only
  files that can be locked exclusively are evicted, least recently used first.
A reader that was handed a file just as it was evicted sees that the name leads
to another file or to none, and starts over.
"""

import enum
import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.errors import StorageError

_WHOLE, _PART = ".tfrecord", ".part"


class Wait(enum.Enum):
    """Why a file cannot be fetched into the folder at this moment."""

    FULL = "all room is taken by files in use"
    COMING = "another thread or process has it on its way"


class Lease:
    """A file that stays where it is until this is closed.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        """Args: the file, and the locked descriptor that keeps it, if it needs one."""
        self.path = path
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def is_in_place(self) -> bool:
        """Tells whether the path still leads to this file, and not to one that replaced it."""
        return self._descriptor is not None and _leads_to(self.path, self._descriptor)

    def close(self) -> None:
        """Gives the file up. May be called twice."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Part:
    """Room for one file, taken in the cache folder and not yet filled."""

    def __init__(self, owner: "CacheFolder", key: str, path: Path, descriptor: int) -> None:
        self._owner, self._key, self._path = owner, key, path
        self._descriptor: int | None = descriptor

    def finish(self, data: bytes) -> Lease:
        """Fills the file, gives it its name and returns it, read-locked."""
        if self._descriptor is None:
            raise ValueError("this part was finished or dropped before")
        with self._owner.speaking(f"write {len(data):,} bytes to"):
            os.ftruncate(self._descriptor, len(data))
            with os.fdopen(self._descriptor, "wb", closefd=False) as stream:
                stream.write(data)
            whole = self._owner.path_of(self._key)
            with self._owner.locked():
                os.replace(self._path, whole)
                fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        descriptor, self._descriptor = self._descriptor, None
        return Lease(whole, descriptor)

    def drop(self) -> None:
        """Gives the room back, if the file was not finished."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(descriptor)


class CacheFolder:
    """A folder of files named by their SHA-256, never larger than its capacity.

    Args:
        directory: The folder; created with its first file.
        capacity_bytes: Most bytes of all files in it.
    """

    def __init__(self, directory: Path, capacity_bytes: int) -> None:
        self.directory = directory.absolute()
        self.capacity_bytes = capacity_bytes

    def path_of(self, key: str) -> Path:
        """Returns where the whole file of that SHA-256 lies, or would lie."""
        return self.directory / f"{key}{_WHOLE}"

    def open(self, key: str) -> Lease | None:
        """Returns the file read-locked, or None if it is not here."""
        path = self.path_of(key)
        with self.speaking("open a file in"):
            while True:
                try:
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    return None
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if _leads_to(path, descriptor):
                    os.utime(descriptor)  # used now, for eviction
                    return Lease(path, descriptor)
                os.close(descriptor)

    def discard(self, lease: Lease) -> None:
        """Removes a file that turned out to be damaged, and closes its lease."""
        with self.speaking("remove a file from"), self.locked():
            if lease.is_in_place():  # else another reader has discarded it, and fetched a good one
                lease.path.unlink(missing_ok=True)
            lease.close()

    def reserve(self, key: str, size_bytes: int) -> Part | Wait:
        """Takes room for a file, evicting others that nobody reads."""
        with self.speaking("make room in"):
            self.directory.mkdir(parents=True, exist_ok=True)
            with self.locked():
                if self.path_of(key).exists() or self._is_coming(key):
                    return Wait.COMING
                if not self._make_room(size_bytes):
                    return Wait.FULL
                path = self.directory / f"{key}.{secrets.token_hex(6)}{_PART}"
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # The empty file counts with its full size from now on.
                os.ftruncate(descriptor, size_bytes)
                return Part(self, key, path, descriptor)

    def used_bytes(self) -> int:
        """Returns the bytes of all files, unfinished ones counted whole."""
        with self.speaking("look into"):
            return sum(status.st_size for _, status in self._entries())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder's lock, against other threads and processes."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def speaking(self, verb: str) -> Iterator[None]:
        """Turns what the file system says into a `StorageError`."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot {verb} the cache folder {self.directory}: {error.strerror or error}",
                expected="a folder on a local disk with space for dataset.cache_mib, with locks",
                remedy="free space there, lower dataset.cache_mib, or choose another cache folder",
            ) from error

    def _entries(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        with suppress(FileNotFoundError), os.scandir(self.directory) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.name.endswith((_WHOLE, _PART)):
                        found.append((Path(entry.path), entry.stat()))
        return found

    def _is_coming(self, key: str) -> bool:
        parts = self.directory.glob(f"{key}.*{_PART}")
        return any(not _unlink_unless_locked(path) for path in parts)

    def _make_room(self, size_bytes: int) -> bool:
        entries = self._entries()
        used = sum(status.st_size for _, status in entries)
        entries.sort(key=lambda entry: (entry[0].suffix != _PART, entry[1].st_mtime_ns))
        for path, status in entries:
            if used + size_bytes <= self.capacity_bytes:
                return True
            if _unlink_unless_locked(path):
                used -= status.st_size
        return used + size_bytes <= self.capacity_bytes


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlink_unless_locked(path: Path) -> bool:
    """Removes a file that nobody has locked; returns whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
