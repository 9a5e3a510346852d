"""The folder where an unfinished `prepare` keeps its work.

Owns where it lies, that one process uses it at a time, and what a full or
unwritable disk is called. What lies in it is `ledger.py`.
"""

import errno
import fcntl
import hashlib
import os
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer import storage
from trainer.errors import DataError, StorageError
from trainer.storage.user_cache import user_cache_folder

WORK_NAME = ".prepare"


def work_folder(target: storage.Folder) -> Path:
    """Returns the work folder of a data set: inside a local one, else in the user's cache."""
    if target.is_local:
        return Path(target.address) / WORK_NAME
    key = hashlib.sha256(target.address.encode()).hexdigest()[:16]
    return user_cache_folder() / "prepare" / key


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes a work folder and keeps others out of it while the block runs.

    Whatever a disk does inside the block comes out as StorageError.

    Raises:
        DataError: Another process is at work in it.
    """
    with disk_errors(folder):
        descriptor = _locked(folder)
        try:
            yield
        finally:
            os.close(descriptor)


def _locked(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise DataError(
                f"another process is preparing this data set, in {folder}",
                expected="one at a time",
                remedy="wait for it, or stop it",
            ) from error
        # Whoever had it may have removed it between our opening and our lock.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(folder), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns what the system says of the disk under `folder` into StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error):
            raise _full(folder) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise StorageError(
                f"the work folder {folder} cannot be used: {error}",
                remedy=f"{shlex.join(['rm', '-r', str(folder)])} and prepare again",
            ) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(folder) from error
        raise StorageError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}",
            expected="a place that can be written",
            remedy="check its permissions, or give another DATASET",
        ) from error


def _full(folder: Path) -> StorageError:
    return StorageError(
        f"the disk under {folder} is full",
        expected="room for about twice the data set while it is made",
        remedy="make room and run the same command again: it goes on where it stopped",
    )


def copies_folder(work: Path, stamp: str) -> Path:
    """Returns where what is fetched of a source lies; copies of what it was before go.

    Args:
        work: The work folder.
        stamp: Of the source as it is now; part of the name.
    """
    copies = work / "source"
    if not (copies / stamp).is_dir():
        shutil.rmtree(copies, ignore_errors=True)
    return copies / stamp


def remove_work(folder: Path) -> None:
    """Removes a work folder, and the folder around it if that is empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:
        return
