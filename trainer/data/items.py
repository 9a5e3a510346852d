"""What a source of pictures gives.

Owns `Item` and the face that every kind of source has; each kind has a file of
its own, `source.py` finds the right one. Does not read pictures: an item says
how it is read (`reading.py`), so that worker processes do.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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
        stamp: Another one where the source is: of one that does not list cheaply; empty: unknown.
    """

    address: str
    licence: str | None = None
    streams: bool = False
    lists_cheaply: bool = True
    stamp: str = ""

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Yields every file, side files too, in any order, in bounded memory.

        Raises:
            DataError: The source is missing or damaged.
        """

    def stream(self, wanted: Callable[[Ref], bool]) -> Iterator[tuple[Ref, bytes]]:
        """Yields the bytes of the wanted items. Only where `streams` is true."""
        raise NotImplementedError(f"{type(self).__name__} does not stream")
