"""Folders in a Google Cloud Storage bucket.

Owns the mapping of a folder's names to the bucket's keys. How a call is made of
requests is `objects.py`'s.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from trainer.errors import ConfigError
from trainer.storage import local
from trainer.storage.address import BucketAddress, check_name, parse_bucket
from trainer.storage.folder import (
    DiskFault,
    Entry,
    Folder,
    Generation,
    check_range,
    not_found,
)
from trainer.storage.objects import BucketObjects
from trainer.storage.transfer import Sink, Source
from trainer.storage.writes import BucketWrites


class BucketFolder(Folder):
    """The objects of a bucket whose names begin with a prefix.

    Whole objects are received as they are stored: one that was stored
    compressed arrives compressed.
    """

    is_local = False

    def __init__(self, address: str) -> None:
        """Args: a canonical `gs://` address."""
        self.address = address
        place = parse_bucket(address)
        self._base = f"{place.prefix}/" if place.prefix else ""
        self._objects = BucketObjects(place.bucket)
        self._writes = BucketWrites(self._objects)

    def child(self, sub: str) -> Self:
        """See `Folder.child`."""
        return type(self)(str(BucketAddress(self._objects.bucket, self._key(sub))))

    def path(self, name: str) -> None:
        """See `Folder.path`."""
        check_name(name, within=self.address)

    def read_versioned(self, name: str) -> tuple[bytes, Generation]:
        """See `Folder.read_versioned`."""
        sink = Sink.in_memory()
        generation = self._objects.fetch(self._key(name), self.address_of(name), sink)
        return sink.content(), generation

    def read(self, name: str, *, start: int | None = None, end: int | None = None) -> bytes:
        """See `Folder.read`."""
        first, end = check_range(start, end)
        if first == 0 and end is None:
            return self.read_versioned(name)[0]
        if end is not None and end <= first:
            if not self.exists(name):
                raise not_found(self.address_of(name))
            return b""
        return self._objects.fetch_range(self._key(name), self.address_of(name), first, end)

    def write(
        self, name: str, data: bytes | memoryview, *, if_generation: Generation | None = None
    ) -> Generation:
        """See `Folder.write`."""
        return self._writes.put(
            self._key(name), self.address_of(name), Source(bytes(data)), if_generation
        )

    def upload(
        self, name: str, local_path: Path | str, *, if_generation: Generation | None = None
    ) -> Generation:
        """See `Folder.upload`."""
        path = Path(local_path)
        with local.speaking("read", path):
            try:
                return self._writes.put(
                    self._key(name), self.address_of(name), Source(path), if_generation
                )
            except DiskFault as fault:
                raise fault.error from None

    def download(self, name: str, local_path: Path | str) -> None:
        """See `Folder.download`."""
        key, address = self._key(name), self.address_of(name)
        local.receive(
            Path(local_path),
            lambda stream: self._objects.fetch(key, address, Sink(stream)),
            needed_bytes=lambda: getattr(self._objects.look(key, address), "size", None),
        )

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Folder.list`."""
        address = f"{self.address}/{prefix}"
        token: str | None = None
        while True:
            items, token = self._objects.page(self._base + prefix, address, token)
            for item in items:
                name = item.name.removeprefix(self._base)
                if name and not name.endswith("/"):  # consoles make those for empty folders
                    yield Entry(name, item.size, Generation(str(item.generation)))
            if not token:
                return

    def stat(self, name: str) -> Entry | None:
        """See `Folder.stat`."""
        blob = self._objects.look(self._key(name), self.address_of(name))
        return blob and Entry(name, blob.size, Generation(str(blob.generation)))

    def delete(
        self, name: str, *, if_generation: Generation | None = None, missing_ok: bool = True
    ) -> None:
        """See `Folder.delete`."""
        removed = self._writes.remove(self._key(name), self.address_of(name), if_generation)
        if not removed and not missing_ok:
            raise not_found(self.address_of(name))

    def free_bytes(self) -> None:
        """See `Folder.free_bytes`."""
        return

    def _key(self, name: str) -> str:
        """The object's name in the bucket."""
        check_name(name, within=self.address)
        if "\r" in name or "\n" in name or not _is_unicode(name):
            shown = name.encode("utf-8", "backslashreplace").decode()
            raise ConfigError(
                f"{shown!r} cannot be the name of an object in a bucket",
                expected="text that can be written in UTF-8, without line breaks",
                remedy="rename the file",
            )
        return self._base + name


def _is_unicode(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
