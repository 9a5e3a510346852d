"""The list of files to leave out.

Owns the format: one name a line, `#` begins a comment. A line is a path inside
the source or a bare file name; the name of a landmark file (`x.jpg.cat`)
stands for its picture.
"""

import hashlib

from trainer import storage
from trainer.data.naming import LANDMARK_SUFFIX
from trainer.errors import ConfigError

_MAX_BYTES = 256 * 2**20


class ExcludeList:
    """Names to leave out.

    Attributes:
        names: Paths and bare names.
        digest: Hash of them, or None for an empty list.
    """

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self.names = names
        joined = "\n".join(sorted(names)).encode()
        self.digest = hashlib.sha256(joined).hexdigest()[:16] if names else None

    def __contains__(self, name: str) -> bool:
        return name in self.names or name.rpartition("/")[2] in self.names


def read_exclude_list(path: str | None) -> ExcludeList:
    """Returns the list in a file or object, the empty one for None.

    Raises:
        ConfigError: There is none, or it is no list.
        StorageError: It cannot be read.
    """
    if path is None:
        return ExcludeList()
    try:
        place, name = storage.split_address(path)
        folder = storage.open_folder(place)
        if (entry := folder.stat(name)) is not None and entry.size_bytes > _MAX_BYTES:
            raise ValueError("it is larger than any list of names")
        text = folder.read(name).decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it is not text")
    except storage.NotFound as error:
        raise _unusable(path, "there is no such file") from error
    except UnicodeDecodeError as error:
        raise _unusable(path, "it is not UTF-8 text") from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    names = frozenset(line.removesuffix(LANDMARK_SUFFIX) for line in lines if line)
    return ExcludeList(frozenset(name.removeprefix("./") for name in names))


def _unusable(path: str, why: str) -> ConfigError:
    return ConfigError(
        f"the exclude list {path} cannot be used: {why}",
        expected="a text file with one file name a line; '#' begins a comment",
        remedy="correct the path, or leave --exclude away",
    )
