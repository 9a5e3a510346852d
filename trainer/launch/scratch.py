"""Copying and removing run folders that a command made for itself.

Owns nothing of what a run folder means. Goes through storage, so that folders
and buckets are alike. Never to be used on a run of a person's own.
"""

from trainer.storage import Folder


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
