"""What came of a source, for people and for the manifest.

Owns the questions that are asked of a ledger at the end. Changes nothing in it.
"""

import sqlite3
from collections.abc import Iterator

from trainer.data.ledger import KEPT, REJECTED


class Findings:
    """Reads a ledger.

    Args:
        database: The ledger's.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def reasons(self) -> dict[str, int]:
        """Returns how many items were rejected for each reason, most frequent first."""
        query = (
            "SELECT reason, count(*) AS n FROM items WHERE state = ? GROUP BY reason"
            " ORDER BY n DESC, reason"
        )
        return dict(self._database.execute(query, [REJECTED]).fetchall())

    def median_small_side(self) -> int | None:
        """Returns the median side of the pictures that were too small, if there are any."""
        where = "FROM items WHERE state = ? AND reason = 'smaller than asked for'"
        count = self._database.execute(f"SELECT count(*) {where}", [REJECTED]).fetchone()[0]
        query = f"SELECT side_px {where} ORDER BY side_px LIMIT 1 OFFSET ?"
        row = self._database.execute(query, [REJECTED, count // 2]).fetchone()
        return row[0] if row else None

    def rejected(self) -> Iterator[tuple[str, str, str]]:
        """Yields name, reason and detail of what was left out, by name."""
        yield from self._database.execute(
            "SELECT name, reason, detail FROM items WHERE state = ? ORDER BY name", [REJECTED]
        )

    def attributes(self) -> Iterator[str]:
        """Yields the attributes of kept pictures, by name."""
        rows = self._database.execute(
            "SELECT attributes FROM items WHERE state = ? AND attributes IS NOT NULL ORDER BY name",
            [KEPT],
        )
        for (line,) in rows:
            yield line
