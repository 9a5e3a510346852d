"""Folders that a command makes for itself: named, copied, removed.

Owns nothing of what a run folder means. Goes through storage, so that folders
and buckets are alike. Never to be used on a run of a person's own.
"""

import contextlib
import logging
import secrets
from collections.abc import Iterator

from trainer import storage
from trainer.errors import CatganError, InterruptedRun, TerminatedRun
from trainer.storage import Folder

log = logging.getLogger("catgan")


@contextlib.contextmanager
def scratch_folder(beginning: str) -> Iterator[Folder]:
    """Gives a folder that nobody else has, and removes it at the end.

    That it cannot be removed is only a warning: an error of the block stands.

    Args:
        beginning: Of its address; what makes it one of its own is added.
    """
    folder = storage.open_folder(f"{beginning.rstrip('/')}-{secrets.token_hex(4)}")
    try:
        yield folder
    finally:
        try:
            remove_all(folder)
        except CatganError as error:
            log.warning("%s could not be removed: %s", folder.address, error.what)


@contextlib.contextmanager
def only_tried() -> Iterator[None]:
    """Says of an interruption what it means where what was trained is thrown away."""
    try:
        yield
    except (InterruptedRun, TerminatedRun) as error:
        raise type(error)(
            "interrupted; what was trained to try it is removed",
            remedy="run the same command again: it begins anew",
        ) from error


def copy_all(source: Folder, target: Folder) -> None:
    """Copies every object of a folder, one in memory at a time.

    Raises:
        StorageError: A folder cannot be read or written.
    """
    for entry in source.list():
        target.write(entry.name, source.read(entry.name))


def remove_all(folder: Folder) -> None:
    """Deletes every object of a folder; on a disk the folder itself goes too.

    Raises:
        StorageError: It cannot be listed, or something in it cannot be deleted.
    """
    for entry in list(folder.list()):
        folder.delete(entry.name)
    path = _root(folder)
    if path is not None and path.is_dir() and not any(path.iterdir()):
        path.rmdir()


def _root(folder: Folder):
    inside = folder.path("x")
    return inside.parent if inside is not None else None
