"""A look at pictures before anything is done with them: how many, how large.

Owns counting and measuring. Reads the headers of a sample only, so that it
takes a second for a million files. Decides nothing and writes nothing.
"""

import hashlib
import heapq
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

from trainer import storage
from trainer.command_line import catgan
from trainer.data.decode import open_header
from trainer.data.naming import kind_of
from trainer.data.reading import read
from trainer.data.rejection import Rejected
from trainer.data.source import Item, Source, open_source
from trainer.errors import ConfigError

# Enough for a share within a few per cent.
SAMPLE = 200


@dataclass(frozen=True)
class Survey:
    """What some pictures are.

    Attributes:
        address: Of their source: in a bucket as it was given, else canonical.
        count: Files that are pictures by name, less the share of the sample that are none.
        sides_px: Shorter side of each picture of the sample, ascending.
    """

    address: str
    count: int
    sides_px: tuple[int, ...]

    @property
    def looked_at(self) -> int:
        """Pictures in the sample."""
        return len(self.sides_px)

    @property
    def median_px(self) -> int:
        """Shorter side of the middle picture; 0 where there is none."""
        return median_low(self.sides_px) if self.sides_px else 0

    def share_below(self, size_px: float) -> float:
        """Returns the share of the sample whose shorter side is smaller, 0 to 1."""
        if not self.sides_px:
            return 0.0
        return sum(side < size_px for side in self.sides_px) / len(self.sides_px)


def look(source: str) -> Survey:
    """Counts and measures the pictures of a source.

    Args:
        source: A folder, a zip or tar file, or gs://bucket/prefix.

    Raises:
        ConfigError: The address is malformed.
        DataError: There is nothing at it, or it is damaged.
        StorageError: It cannot be reached.
    """
    if source.startswith(("drawn:", "tfds:")):
        raise ConfigError(
            f"{source!r} names pictures that are made or fetched, not some that lie somewhere",
            expected="a folder, a zip or tar file, or gs://bucket/prefix",
            remedy=catgan("train", "configs/cats64-quick.yaml", f"dataset.source={source}"),
        )
    with tempfile.TemporaryDirectory(prefix="catgan-look-") as scratch:
        opened = open_source(source, Path(scratch))
        counter = itertools.count()
        counted = (item for item in _perhaps_pictures(opened) if next(counter) >= 0)
        # Smallest digests: a sample that does not hang on the order of the listing, in
        # memory that does not grow with it.
        chosen = heapq.nsmallest(SAMPLE, counted, key=_digest)
        listed = next(counter)
        sizes = [_shorter_side(data) for data in _contents(opened, chosen)]
    sides = sorted(side for side in sizes if side)
    count = round(listed * len(sides) / len(sizes)) if sizes else 0
    address = source if storage.is_bucket(source) else opened.address
    return Survey(address, count, tuple(sides))


def _perhaps_pictures(source: Source) -> Iterator[Item]:
    for item in source.items():
        if item.refusal is None and kind_of(item.name) in ("picture", "perhaps"):
            yield item


def _digest(item: Item) -> bytes:
    return hashlib.blake2b(item.name.encode(), digest_size=8).digest()


def _contents(source: Source, chosen: list[Item]) -> Iterator[bytes | None]:
    if source.streams:
        wanted = {item.ref for item in chosen}
        yield from (data for _, data in source.stream(lambda ref: ref in wanted))
        return
    for item in chosen:
        try:
            yield read(item.ref)
        except Rejected:
            yield None


def _shorter_side(data: bytes | None) -> int | None:
    """Returns the shorter side in px from a picture's header, None where it is no picture."""
    if data is None:
        return None
    try:
        return min(open_header(data).size)
    except Rejected:
        return None
