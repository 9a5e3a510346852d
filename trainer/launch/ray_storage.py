"""Where Ray Train keeps its own state of a run: `RUN/ray`.

Owns the file system that Ray is given for a run in a bucket. Does not own what Ray
writes, nor our checkpoints: nothing outside `RUN/ray` can be reached through it.

Ray writes through pyarrow. pyarrow's own client for Google Cloud Storage was tried
against the bucket server of the tests and is not used, because it

- ignores STORAGE_EMULATOR_HOST, and finds credentials by a code of its own;
- asks for the right to read the bucket's metadata, which a service account that may
  only read and write objects lacks, and writes markers for the folders *above* the run;
- gives an answer that does not come 120 s, whatever it was told, and then gives up;
- reports a deletion as failed when its first answer was lost.

So pyarrow is shown our own storage, with its retries, deadlines and errors.
"""

import errno
import os
from typing import Any, NoReturn

import pyarrow
import pyarrow.fs

from trainer import storage
from trainer.run_folder import names
from trainer.storage.address import SCHEME


def ray_storage(run_address: str) -> tuple[str, pyarrow.fs.FileSystem | None]:
    """Gives what `ray.train.RunConfig` wants to keep its state in `RUN/ray`.

    No input or output. The file system survives pickling; where it is unpickled, this
    package and the variables that decide how buckets are reached must be there.

    Args:
        run_address: `gs://bucket/prefix`, or a folder that all nodes see under this path.

    Returns:
        `storage_path` and `storage_filesystem`; the latter is None for a folder on disk.

    Raises:
        ConfigError: The address is malformed.
    """
    address = storage.join(run_address, names.RAY)
    if not storage.is_bucket(address):
        return address, None
    return _path_of(address), pyarrow.fs.PyFileSystem(BucketFiles(address))


def _path_of(address: str) -> str:
    """The path by which pyarrow knows an address: without its scheme."""
    return address.removeprefix(SCHEME)


class BucketFiles(pyarrow.fs.FileSystemHandler):
    """A folder of a bucket, as pyarrow wants to see a file system.

    Paths are `bucket/prefix/name`, as pyarrow's own client has them. Folders exist where
    objects lie in them; making one does nothing. Files are held in memory while they are
    open, and appear whole when they are closed: Ray's state is small.

    Raises in all methods:
        PermissionError: The path lies outside the folder.
        StorageError: The bucket cannot be reached, after all retries.
        FileNotFoundError: There is nothing at the path.

    Args:
        address: Of the folder, `gs://bucket/prefix`.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._folder = storage.open_folder(address)

    def __reduce__(self) -> tuple:
        return type(self), (self.address,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketFiles) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def get_type_name(self) -> str:
        """Returns `catgan`."""
        return "catgan"

    def normalize_path(self, path: str) -> str:
        """Returns the path without slashes at its ends."""
        return path.strip("/")

    def get_file_info(self, paths: list[str]) -> list[pyarrow.fs.FileInfo]:
        """Says of each path whether it is a file, a folder or nothing."""
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: Any) -> list[pyarrow.fs.FileInfo]:
        """Lists a folder, with all that lies below it where the selector is recursive."""
        base = self._name(selector.base_dir, root_allowed=True)
        found: dict[str, pyarrow.fs.FileInfo] = {}
        entries = self._below(base)
        for entry in entries:
            parts = entry.name.removeprefix(_prefix(base)).split("/")
            deepest = len(parts) if selector.recursive else 1
            for depth in range(1, min(deepest, len(parts)) + 1):
                path = f"{selector.base_dir.rstrip('/')}/{'/'.join(parts[:depth])}"
                found[path] = _file(path, entry) if depth == len(parts) else _directory(path)
        if not entries and not selector.allow_not_found:
            _missing(selector.base_dir)
        return list(found.values())

    def create_dir(self, path: str, recursive: bool) -> None:
        """Does nothing: a folder is there as soon as something lies in it."""
        self._name(path, root_allowed=True)

    def delete_dir(self, path: str) -> None:
        """Deletes all that lies in a folder, which is then gone."""
        self.delete_dir_contents(path, missing_dir_ok=False)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Deletes all that lies in a folder."""
        entries = self._below(self._name(path))
        if not entries and not missing_dir_ok:
            _missing(path)
        for entry in entries:
            self._folder.delete(entry.name)

    def delete_root_dir_contents(self) -> None:
        """Refuses: this would empty the bucket."""
        raise PermissionError(errno.EPERM, "a whole bucket is never emptied", self.address)

    def delete_file(self, path: str) -> None:
        """Deletes one file."""
        name = self._name(path)
        if not self._folder.exists(name):
            _missing(path)
        self._folder.delete(name)

    def move(self, src: str, dest: str) -> None:
        """Copies a file, then deletes the original; folders cannot be moved in one go."""
        self.copy_file(src, dest)
        self._folder.delete(self._name(src))

    def copy_file(self, src: str, dest: str) -> None:
        """Copies one file."""
        self._folder.write(self._name(dest), self._read(src))

    def open_input_stream(self, path: str) -> pyarrow.NativeFile:
        """Reads a file, whole and verified."""
        return pyarrow.BufferReader(self._read(path))

    def open_input_file(self, path: str) -> pyarrow.NativeFile:
        """Reads a file, whole and verified."""
        return pyarrow.BufferReader(self._read(path))

    def open_output_stream(self, path: str, metadata: Any) -> pyarrow.NativeFile:
        """Opens a file that appears when it is closed, replacing what was there."""
        return pyarrow.PythonFile(_Upload(self._folder, self._name(path)), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> NoReturn:
        """Refuses: an object in a bucket cannot be appended to."""
        raise NotImplementedError(f"{path} lies in a bucket, where nothing can be appended to")

    def _read(self, path: str) -> bytes:
        try:
            return self._folder.read(self._name(path))
        except storage.NotFound:
            _missing(path)

    def _info(self, path: str) -> pyarrow.fs.FileInfo:
        name = self._name(path, root_allowed=True)
        entry = self._folder.stat(name) if name else None
        if entry is not None:
            return _file(path, entry)
        for _ in self._folder.list(_prefix(name)):
            return _directory(path)
        return pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.NotFound)

    def _below(self, name: str) -> list[storage.Entry]:
        return list(self._folder.list(_prefix(name)))

    def _name(self, path: str, *, root_allowed: bool = False) -> str:
        """The name inside our folder of what Ray calls `path`."""
        root, path = _path_of(self.address), self.normalize_path(path)
        if path == root and root_allowed:
            return ""
        if not path.startswith(f"{root}/"):
            raise PermissionError(errno.EPERM, f"only {root} belongs to Ray", path)
        return path.removeprefix(f"{root}/")


class _Upload:
    """A file that is written when it is closed, in one request that is tried again."""

    def __init__(self, folder: storage.Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._content = bytearray()
        self.closed = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._content += memoryview(data)
        return len(data)

    def tell(self) -> int:
        return len(self._content)

    def flush(self) -> None:
        """A part of an object cannot be written."""

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._folder.write(self._name, bytes(self._content))


def _prefix(name: str) -> str:
    return f"{name}/" if name else ""


def _file(path: str, entry: storage.Entry) -> pyarrow.fs.FileInfo:
    return pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.File, size=entry.size_bytes)


def _directory(path: str) -> pyarrow.fs.FileInfo:
    return pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.Directory)


def _missing(path: str) -> NoReturn:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
