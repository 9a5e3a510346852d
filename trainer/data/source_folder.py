"""Pictures in a local folder, however deep.

Owns the walk. Files behind links are read (data sets are often folders of
links); a folder is entered once however many links lead to it. One that cannot
be listed is told, for the pictures that may be in it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainer.data.items import Item, Source
from trainer.data.rejection import UNREADABLE_FOLDER
from trainer.errors import DataError


class FolderSource(Source):
    """All files under a folder.

    Args:
        path: The folder, absolute.
        skip: A folder inside it that is left out, whichever way leads to it.
    """

    def __init__(self, path: Path, skip: str | None = None) -> None:
        self.address = str(path)
        self._skip = skip

    def items(self) -> Iterator[Item]:
        """Yields every file; holds no more than the list of folders still to enter."""
        open_folders, entered = [self.address], self._skipped()
        while open_folders:
            folder = open_folders.pop()
            try:
                with os.scandir(folder) as entries:
                    about = os.stat(folder)
                    if (about.st_dev, about.st_ino) in entered:
                        continue
                    entered.add((about.st_dev, about.st_ino))
                    for entry in entries:
                        if _is_folder(entry):
                            open_folders.append(entry.path)
                        else:
                            yield self._item(entry)
            except OSError as error:
                if folder == self.address:
                    raise DataError(
                        f"{folder} cannot be listed: {error.strerror}",
                        remedy="check its permissions",
                    ) from error
                # The slash tells it from a file: `kind_of` judges it by where it lies.
                yield Item(
                    f"{self._name(folder)}/",
                    ("file", ""),
                    refusal=(UNREADABLE_FOLDER, str(error.strerror)),
                )

    def _skipped(self) -> set[tuple[int, int]]:
        if self._skip is not None:
            with suppress(OSError):
                about = os.stat(self._skip)
                return {(about.st_dev, about.st_ino)}
        return set()

    def _item(self, entry: os.DirEntry[str]) -> Item:
        try:
            about = entry.stat()
        except OSError as error:
            return self._refused(entry.path, str(error.strerror))
        if not stat.S_ISREG(about.st_mode):
            return self._refused(entry.path, "not a regular file")
        return Item(
            name=self._name(entry.path),
            ref=("file", entry.path),
            size_bytes=about.st_size,
            stamp=f"{about.st_size}:{about.st_mtime_ns}",
        )

    def _refused(self, path: str, detail: str) -> Item:
        return Item(self._name(path), ("file", ""), refusal=("unreadable", detail))

    def _name(self, path: str) -> str:
        relative = os.path.relpath(path, self.address)
        # Names that are not UTF-8 are kept apart from each other, and made printable.
        return os.fsencode(relative).decode("utf-8", errors="backslashreplace")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
