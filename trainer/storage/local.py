"""Folders on a disk.

Owns the meaning of a name on a local file system and the text of its errors.
How a file gets into its place whole is `files.py`'s.
"""

import errno
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from trainer.errors import StorageError
from trainer.storage import files
from trainer.storage.address import check_name
from trainer.storage.folder import (
    ABSENT,
    DiskFault,
    Entry,
    Folder,
    Generation,
    check_range,
    conflict,
    not_found,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_COPY_BYTES = 4 * 1024 * 1024


class LocalFolder(Folder):
    """A folder on a disk of this machine, or mounted on it."""

    is_local = True

    def __init__(self, address: str, *, anchor: Path | None = None) -> None:
        """Args: the absolute path; `anchor`, the folder that a person named and that stays."""
        self.address = address
        self._root = Path(address)
        self._anchor = anchor or self._root
        self._tidied: set[Path] = set()

    def child(self, sub: str) -> Self:
        """See `Folder.child`."""
        return type(self)(str(self.path(sub)), anchor=self._anchor)

    def path(self, name: str) -> Path:
        """See `Folder.path`."""
        parts = check_name(name, within=self.address).split("/")
        if files.is_temporary(parts[-1]):
            raise not_found(f"{self.address}/{name}")
        return self._root.joinpath(*parts)

    def read_versioned(self, name: str) -> tuple[bytes, Generation]:
        """See `Folder.read_versioned`."""
        with self._speaking("read", name), self.path(name).open("rb") as stream:
            # Files are replaced, never changed, so both are of one write.
            return stream.read(), files.generation_of(os.fstat(stream.fileno()))

    def read(self, name: str, *, start: int | None = None, end: int | None = None) -> bytes:
        """See `Folder.read`."""
        first, end = check_range(start, end)
        with self._speaking("read", name), self.path(name).open("rb") as stream:
            stream.seek(first)
            return stream.read() if end is None else stream.read(max(0, end - first))

    def write(
        self, name: str, data: bytes | memoryview, *, if_generation: Generation | None = None
    ) -> Generation:
        """See `Folder.write`."""

        def fill(descriptor: int) -> None:
            with os.fdopen(descriptor, "wb", closefd=False) as stream:
                stream.write(data)

        return self._put(name, fill, len(data), if_generation)

    def upload(
        self, name: str, local_path: Path | str, *, if_generation: Generation | None = None
    ) -> Generation:
        """See `Folder.upload`."""
        with speaking("read", Path(local_path)):
            size_bytes = os.stat(local_path).st_size
        return self._put(name, _copier(Path(local_path)), size_bytes, if_generation)

    def download(self, name: str, local_path: Path | str) -> None:
        """See `Folder.download`."""
        source = self.path(name)
        with self._speaking("read", name):
            stream = source.open("rb")
        with stream:
            size_bytes = os.fstat(stream.fileno()).st_size
            target = Path(local_path).absolute()
            with speaking("write", target, needed_bytes=lambda: size_bytes):
                files.put(target, _copier(source))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Folder.list`."""
        folder, _, _ = prefix.rpartition("/")
        if folder:
            check_name(folder, within=self.address)
        with self._speaking("list", folder or "."):
            if self._root.exists() and not self._root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "it is a file", self.address)
            yield from self._walk(self._root / folder, f"{folder}/" if folder else "", prefix, ())

    def _walk(
        self, directory: Path, base: str, prefix: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[Entry]:
        try:
            status = directory.stat()
            found = [(e.name + "/" if e.is_dir() else e.name, e) for e in os.scandir(directory)]
        except (FileNotFoundError, NotADirectoryError):
            return
        here = (status.st_dev, status.st_ino)
        if here in above:
            return  # a symbolic link to a folder that it lies in
        for key, entry in sorted(found, key=lambda pair: pair[0]):
            name = base + key
            if name.endswith("/"):
                if name.startswith(prefix) or prefix.startswith(name):
                    yield from self._walk(Path(entry.path), name, prefix, (*above, here))
            elif name.startswith(prefix) and not files.is_temporary(entry.name):
                file_status = files.status_of(Path(entry.path))
                if file_status is not None:
                    generation = files.generation_of(file_status)
                    yield Entry(name, file_status.st_size, generation)

    def stat(self, name: str) -> Entry | None:
        """See `Folder.stat`."""
        with self._speaking("look at", name):
            status = files.status_of(self.path(name))
        return status and Entry(name, status.st_size, files.generation_of(status))

    def delete(
        self, name: str, *, if_generation: Generation | None = None, missing_ok: bool = True
    ) -> None:
        """See `Folder.delete`. Folders that it leaves empty go too, up to the one opened."""
        path = self.path(name)
        with speaking("delete", path, expected=if_generation):
            if files.remove(path, if_generation=if_generation):
                # What a killed writer left would keep the folder for good.
                files.remove_stale(path.parent)
                files.prune_empty(path.parent, keep=self._anchor)
            elif not missing_ok:
                raise not_found(self.address_of(name))

    def free_bytes(self) -> int:
        """See `Folder.free_bytes`."""
        with self._speaking("look at", "."):
            return _free_bytes(self._root)

    def _put(
        self,
        name: str,
        fill: Callable[[int], None],
        size_bytes: int,
        if_generation: Generation | None,
    ) -> Generation:
        path = self.path(name)
        with speaking("write", path, needed_bytes=lambda: size_bytes, expected=if_generation):
            generation = files.put(path, fill, if_generation=if_generation)
            if path.parent not in self._tidied:
                self._tidied.add(path.parent)
                files.remove_stale(path.parent)
            return generation

    def _speaking(self, verb: str, name: str) -> AbstractContextManager[None]:
        return speaking(verb, self._root / name)


@contextmanager
def speaking(
    verb: str,
    path: Path,
    *,
    needed_bytes: Callable[[], int | None] | None = None,
    expected: Generation | None = None,
) -> Iterator[None]:
    """Turn what the file system says about `path` into errors that name it.

    Args:
        verb: What is being done: "read", "write".
        path: To what.
        needed_bytes: Asked for the space that was needed, once the disk is full.
        expected: The generation that a conditional call expected.
    """
    try:
        yield
    except files.WrongGeneration as error:
        raise conflict(str(path), expected or ABSENT, error.found) from None
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | IsADirectoryError)
        if missing and verb != "write":
            raise not_found(str(path)) from error
        needed = needed_bytes() if needed_bytes and error.errno in _FULL else None
        raise _explain(error, verb, path, needed) from error


def receive(
    target: Path,
    fetch: Callable[[BinaryIO], object],
    *,
    needed_bytes: Callable[[], int | None],
) -> None:
    """Put a file in its place whole, from a transfer that may take several tries.

    Args:
        target: Where it goes.
        fetch: Writes to the stream that it is given; may raise `DiskFault`.
        needed_bytes: Asked for the file's size, once the disk is full.
    """

    def fill(descriptor: int) -> None:
        try:
            with os.fdopen(descriptor, "w+b", closefd=False) as stream:
                fetch(stream)
        except DiskFault as fault:
            raise fault.error from None

    target = target.absolute()
    with speaking("write", target, needed_bytes=needed_bytes):
        files.put(target, fill)


def _copier(source: Path) -> Callable[[int], None]:
    """A function that copies `source` to a descriptor and checks that all of it went."""

    def fill(descriptor: int) -> None:
        with source.open("rb") as stream, os.fdopen(descriptor, "wb", closefd=False) as sink:
            size_bytes = os.fstat(stream.fileno()).st_size
            shutil.copyfileobj(stream, sink, _COPY_BYTES)
            sink.flush()
            if os.fstat(descriptor).st_size != size_bytes:
                raise OSError(errno.EIO, "the file changed while it was copied", str(source))

    return fill


def _free_bytes(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _explain(error: OSError, verb: str, path: Path, needed_bytes: int | None) -> StorageError:
    reason = error.strerror or str(error)
    address = str(path)
    if error.errno in _FULL:
        free = _free_bytes(path)
        needed = "unknown" if needed_bytes is None else f"{needed_bytes:,}"
        return StorageError(
            f"cannot {verb} {address}: {reason}",
            expected=f"{needed} bytes of space; {free:,} bytes are free there",
            remedy="free space on that disk, raise its quota, or use a folder on another disk",
        )
    if error.errno in _FORBIDDEN:
        return StorageError(
            f"cannot {verb} {address}: {reason}",
            expected=f"a folder that user number {os.geteuid()} may read and write",
            remedy=f"look with `ls -ld {shlex.quote(address)}`, then change its owner or take "
            "another folder",
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return StorageError(
            f"cannot {verb} {address}: a part of this path is a file, not a folder",
            expected="a folder",
            remedy="take another folder, or move that file away",
        )
    if error.errno == errno.EISDIR:
        return StorageError(
            f"cannot {verb} {address}: it is a folder",
            expected="a file, or nothing, at this path",
            remedy="take another name, or move that folder away",
        )
    if error.errno == errno.ENAMETOOLONG:
        return StorageError(
            f"cannot {verb} {address}: {reason}",
            expected="parts of at most 255 bytes, as most file systems have it",
            remedy="shorten the name",
        )
    if error.errno == errno.ENOLCK:
        return StorageError(
            f"cannot {verb} {address}: {reason}, so two writers could not be told apart",
            expected="a file system with locks (flock)",
            remedy="mount it with locks, or keep this folder on a local disk or in a bucket",
        )
    return StorageError(
        f"cannot {verb} {address}: {reason}",
        expected="a disk that answers",
        remedy=f"check the disk or mount under it (`df {shlex.quote(address)}`, `dmesg`)",
    )
