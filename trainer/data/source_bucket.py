"""Pictures under a prefix of a bucket.

Owns listing them, and fetching an archive that lies there.
"""

from collections.abc import Iterator
from pathlib import Path

from trainer import storage
from trainer.data.decode import MAX_FILE_BYTES
from trainer.data.source import Item, Source, open_path
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
        ref = ("bucket", self.address, entry.name)
        return Item(entry.name, ref, entry.size_bytes, str(entry.generation), refusal)


def open_bucket(address: str, work: Path) -> Source:
    """Returns the source at a bucket address; an archive is first fetched into `work`."""
    if not address.lower().endswith(_ARCHIVES):
        return BucketSource(address)
    folder_address, name = storage.split_address(address)
    fetched = work / "source" / name
    if not fetched.exists():
        fetched.parent.mkdir(parents=True, exist_ok=True)
        try:
            storage.open_folder(folder_address).download(name, fetched)
        except storage.NotFound as error:
            raise DataError(f"there is no source at {address}", remedy="check it") from error
    source = open_path(fetched)
    source.address = storage.canonical(address)
    return source
