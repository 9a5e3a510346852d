"""Which kind of source an address names.

Owns the forms of an address. The kinds lie in `source_*.py` and `archives.py`,
what they give in `items.py`.
"""

import difflib
import re
from pathlib import Path

from trainer import storage
from trainer.data.items import Item, Ref, Source
from trainer.errors import ConfigError, DataError

__all__ = ["Item", "Ref", "Source", "open_source"]


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


def address_of(text: str) -> str:
    """Returns the address that a source has once it is opened, which this does not do.

    Raises:
        ConfigError: The address is malformed.
    """
    if text.startswith("drawn:"):
        from trainer.data.source_drawn import DrawnSource

        return DrawnSource(text).address
    if text.startswith("tfds:"):
        from trainer.data.source_tfds import TfdsSource

        return TfdsSource(text, Path()).address
    if storage.is_bucket(text):
        return storage.canonical(text)
    return str(Path(text).expanduser().resolve())


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
    from trainer.data.archives import open_archive

    return open_archive(path)


def _closest(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"{path.parent} cannot be listed either: check the path"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else ""
