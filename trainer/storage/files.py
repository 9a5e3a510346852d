"""Whole files, or none: how a file is put in its place on a local disk.

Owns temporary files, the lock of a directory, the exclusive and the conditional
replacement, and the tidying of what a killed process left. Does not know names
or addresses, and raises plain `OSError`.

A file's generation is (modification time, inode, size). Every replacement sets
the time itself, later than the one before, so no two writes look alike however
coarse the clock of the file system is.
"""

import errno
import fcntl
import os
import random
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.storage import limits
from trainer.storage.folder import ABSENT, Generation

TEMPORARY_PREFIX = ".catgan-tmp-"
_STALE_SECS = 5.0
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class WrongGeneration(Exception):
    """The file is not of the generation that the caller expected."""

    def __init__(self, found: Generation) -> None:
        super().__init__(found)
        self.found = found


def is_temporary(name: str) -> bool:
    """Whether a file's name is one of ours for an unfinished write."""
    return name.startswith(TEMPORARY_PREFIX)


def generation_of(status: os.stat_result) -> Generation:
    """The generation of an existing file."""
    return Generation(f"{status.st_mtime_ns}-{status.st_ino}-{status.st_size}")


def status_of(path: Path) -> os.stat_result | None:
    """The status of a regular file; None if there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


@contextmanager
def temporary_file(directory: Path) -> Iterator[tuple[Path, int]]:
    """Give a new file in `directory` (path, descriptor), removed on leaving if still there.

    It is locked while it is open, so that `remove_stale` can tell a living
    writer from one that was killed.
    """
    path = directory / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path, descriptor
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def remove_stale(directory: Path) -> int:
    """Remove temporary files of writers that are gone; returns how many."""
    removed = 0
    for path in directory.glob(TEMPORARY_PREFIX + "*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < _STALE_SECS:
                continue
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
            finally:
                os.close(descriptor)
    return removed


@contextmanager
def directory_lock(directory: Path, *, needed: bool) -> Iterator[int]:
    """Hold the directory's lock and give its descriptor; leaves no file behind.

    Args:
        directory: An existing directory.
        needed: Whether to fail where the file system has no locks (some network
            mounts) instead of going on without.

    Raises:
        OSError: ETIMEDOUT if others hold it until the deadline, ENOLCK if there
            are no locks.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, directory, needed=needed)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path, *, needed: bool) -> None:
    give_up_at = time.monotonic() + limits.current().deadline_secs
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise OSError(
                    errno.ETIMEDOUT, "another process holds the folder's lock", str(directory)
                ) from None
            time.sleep(random.uniform(0.0005, 0.01))  # noqa: S311 - only spreads waits
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            if needed:
                raise OSError(
                    errno.ENOLCK, "the file system has no locks", str(directory)
                ) from None
            return None


def put(
    target: Path, fill: Callable[[int], None], *, if_generation: Generation | None = None
) -> Generation:
    """Put a file in its place: whole, durable, and only where it was expected to go.

    Args:
        target: Where it goes; missing directories are made.
        fill: Writes the content to the descriptor that it is given.
        if_generation: As in `Folder.write`.

    Raises:
        WrongGeneration: `if_generation` does not hold.
        OSError: Anything else; nothing is left behind.
    """
    while True:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary_file(target.parent) as (temporary, descriptor):
                fill(descriptor)
                os.fsync(descriptor)
                return _place(temporary, descriptor, target, if_generation)
        except FileNotFoundError:
            if target.parent.exists():
                raise
            # A deletion beside us removed the empty directory under our feet.


def _place(
    temporary: Path, descriptor: int, target: Path, if_generation: Generation | None
) -> Generation:
    needed = if_generation is not None and if_generation != ABSENT
    with directory_lock(target.parent, needed=needed) as directory:
        before = status_of(target)
        if before is None and target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(target))
        found = generation_of(before) if before else ABSENT
        if if_generation is not None and found != if_generation:
            raise WrongGeneration(found)
        moment = max(time.time_ns(), before.st_mtime_ns + 1 if before else 0)
        os.utime(descriptor, ns=(moment, moment))
        if if_generation == ABSENT:
            _create(temporary, target)
        else:
            os.replace(temporary, target)
        _sync_directory(directory)
        return generation_of(os.fstat(descriptor))


def _create(temporary: Path, target: Path) -> None:
    """Give the file its name unless that is taken, even by a program without our lock."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        status = status_of(target)
        raise WrongGeneration(generation_of(status) if status else ABSENT) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        os.replace(temporary, target)


def _sync_directory(descriptor: int) -> None:
    with suppress(OSError):  # some network mounts cannot, and need not
        os.fsync(descriptor)


def remove(target: Path, *, if_generation: Generation | None = None) -> bool:
    """Remove a file; returns False if there was none.

    Raises:
        WrongGeneration: `if_generation` does not hold.
    """
    try:
        with directory_lock(target.parent, needed=if_generation is not None) as directory:
            status = status_of(target)
            if status is None:
                return False
            if if_generation is not None and generation_of(status) != if_generation:
                raise WrongGeneration(generation_of(status))
            target.unlink()
            _sync_directory(directory)
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False


def prune_empty(directory: Path, *, keep: Path) -> None:
    """Remove `directory` and its parents as far as they are empty, up to `keep`."""
    while directory != keep and keep in directory.parents:
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent
