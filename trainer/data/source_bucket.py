"""Pictures under a prefix of a bucket.

Owns listing them, and fetching an archive that lies there.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from trainer import storage
from trainer.data.archives import open_archive
from trainer.data.decode import MAX_FILE_BYTES
from trainer.data.items import Item, Ref, Source
from trainer.data.workplace import copies_folder
from trainer.errors import DataError

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class BucketSource(Source):
    """All objects under a prefix."""

    def __init__(self, address: str) -> None:
        self._folder = storage.open_folder(address)
        self.address = self._folder.address

    def items(self) -> Iterator[Item]:
        """Yields every object, page by page."""
        for entry in self._folder.list():
            if not entry.name.endswith("/"):
                yield self._item(entry)

    def _item(self, entry: storage.Entry) -> Item:
        refusal = None
        if entry.size_bytes > MAX_FILE_BYTES:
            refusal = ("file too large", f"{entry.size_bytes:,} bytes")
        if not storage.is_name(entry.name):
            refusal = ("name that cannot be read", repr(entry.name[:200]))
        ref = ("bucket", self.address, entry.name)
        return Item(entry.name, ref, entry.size_bytes, str(entry.generation), refusal)


class BucketArchiveSource(Source):
    """A zip or tar file in a bucket: fetched whole when it is first read."""

    lists_cheaply = False

    def __init__(self, address: str, work: Path) -> None:
        self.address = storage.canonical(address)
        folder_address, self._name = storage.split_address(self.address)
        self._folder = storage.open_folder(folder_address)
        self._work = work
        entry = self._folder.stat(self._name)
        if entry is None:
            raise DataError(
                f"there is no source at {address}",
                expected="a zip or tar file, or a prefix with pictures under it",
                remedy="check the address",
            )
        self._generation = entry.generation.value
        self.stamp = str(self._generation)

    @cached_property
    def _archive(self) -> Source:
        path = copies_folder(self._work, self._generation) / self._name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folder.download(self._name, path)
        return open_archive(path)

    @property
    def streams(self) -> bool:  # type: ignore[override]
        """Whether the archive does."""
        return self._archive.streams

    def items(self) -> Iterator[Item]:
        """Yields the archive's members."""
        return self._archive.items()

    def stream(self, wanted: Callable[[Ref], bool]) -> Iterator[tuple[Ref, bytes]]:
        """Yields the archive's members in passing."""
        return self._archive.stream(wanted)


def open_bucket(address: str, work: Path) -> Source:
    """Returns the source at a bucket address; an archive will be fetched into `work`."""
    if address.lower().endswith(_ARCHIVES):
        return BucketArchiveSource(address, work)
    return BucketSource(address)
