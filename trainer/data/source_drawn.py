"""Cats drawn by the program: `drawn:N`.

Owns the address; the drawing is in `drawn.py`.
"""

import re
from collections.abc import Iterator

from trainer.data.items import Item, Source
from trainer.errors import ConfigError

_MAX_COUNT = 10_000_000


class DrawnSource(Source):
    """Cats number 0 to N - 1 of a seed: `drawn:N` or `drawn:N:SEED` (seed 0 if not given)."""

    licence = "drawn by the program itself"

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r"drawn:(\d{1,9})(?::(\d{1,18}))?", text.replace("_", ""))
        if not match or not 1 <= int(match[1]) <= _MAX_COUNT:
            raise ConfigError(
                f"{text!r} is not a source",
                expected=f"drawn:N or drawn:N:SEED, N from 1 to {_MAX_COUNT:,}",
                remedy="write for example drawn:2000",
            )
        self._count, self._seed = int(match[1]), int(match[2] or 0)
        self.address = f"drawn:{self._count}:{self._seed}"

    def items(self) -> Iterator[Item]:
        """Yields the cats in order."""
        for index in range(self._count):
            yield Item(f"drawn-{index:07d}", ("drawn", index, self._seed), stamp="drawn")
