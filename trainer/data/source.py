"""Where raw pictures come from: one face for folders, archives, buckets and the rest.

Owns what a source gives (`Item`) and which kind an address names. Each kind
has a file of its own. Does not read pictures: an item says how it is read
(`reading.py`), so that worker processes do.
"""

import difflib
import re
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import storage
from trainer.errors import ConfigError, DataError

Ref = tuple[Any, ...]
"""How one file is read: a kind and plain values, see `reading.read`."""


@dataclass(frozen=True)
class Item:
    """One file of a source.

    Attributes:
        name: Path inside the source; becomes the picture's id.
        ref: How to read it.
        size_bytes: Its size, 0 where unknown.
        stamp: Changes when the file does.
        refusal: Reason and detail, where it must not be read at all.
    """

    name: str
    ref: Ref
    size_bytes: int = 0
    stamp: str = ""
    refusal: tuple[str, str] | None = None


class Source(ABC):
    """A source of pictures.

    Attributes:
        address: Canonical: equal sources have equal addresses.
        licence: What the source says about its licence, if anything.
        streams: Items are read in the source's own order (`stream`), not by `ref`.
        lists_cheaply: `items` costs little beside converting.
    """

    address: str
    licence: str | None = None
    streams: bool = False
    lists_cheaply: bool = True

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Yields every file, side files too, in any order, in bounded memory.

        Raises:
            DataError: The source is missing or damaged.
        """

    def stream(self, wanted: Callable[[Ref], bool]) -> Iterator[tuple[Ref, bytes]]:
        """Yields the bytes of the wanted items. Only where `streams` is true."""
        raise NotImplementedError(f"{type(self).__name__} does not stream")


def open_source(text: str, work: Path, skip: str | None = None) -> Source:
    """Returns the source that an address names.

    Args:
        text: A folder, a zip or tar file, `gs://bucket/prefix`, `tfds:NAME[:split]`,
            `tfds:/path[:split]` or `drawn:N`.
        work: Local folder for what has to be downloaded as a whole.
        skip: Local folder inside the source that is not part of it (the data set itself).

    Raises:
        ConfigError: The address is malformed.
        DataError: There is nothing at it.
    """
    if text.startswith("drawn:"):
        from trainer.data.source_drawn import DrawnSource

        return DrawnSource(text)
    if text.startswith("tfds:"):
        from trainer.data.source_tfds import TfdsSource

        return TfdsSource(text, work)
    if storage.is_bucket(text):
        from trainer.data.source_bucket import open_bucket

        return open_bucket(text, work)
    if re.match(r"^[a-z][a-z0-9+.-]+:", text):
        raise ConfigError(
            f"{text!r} is not a source",
            expected="a folder, a zip or tar file, gs://bucket/prefix, tfds:NAME or drawn:N",
            remedy="download it and give the folder",
        )
    return open_path(Path(text).expanduser(), skip)


def open_path(path: Path, skip: str | None = None) -> Source:
    """Returns the source in a local folder or archive; raises DataError."""
    if path.is_dir():
        from trainer.data.source_folder import FolderSource

        return FolderSource(path.resolve(), skip)
    if not path.exists():
        raise DataError(
            f"there is no source at {path}",
            expected="a folder, or a zip or tar file",
            remedy=_closest(path) or "check the path",
        )
    if not path.is_file():
        raise _no_archive(path, "is neither a folder nor a file")
    from trainer.data.archives import TarSource, ZipSource

    try:
        if zipfile.is_zipfile(path):
            return ZipSource(path.resolve())
        if tarfile.is_tarfile(path):
            return TarSource(path.resolve())
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", remedy="check its permissions"
        ) from error
    raise _no_archive(path, "is neither a zip nor a tar archive, or it is damaged")


def _no_archive(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} {what}",
        expected="a folder of pictures, or a zip or tar file of them",
        remedy=f"give the folder that holds it: {path.parent}",
    )


def _closest(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"{path.parent} cannot be listed either: check the path"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else ""
