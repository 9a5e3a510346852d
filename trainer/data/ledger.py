"""What `prepare` has done so far, on disk.

Owns the work folder: a SQLite table with a row for each item of the source,
and one file with the records of converted pictures. Both outlive a kill at any
moment; memory does not grow with the number of items. Does not decide
anything about pictures.

Rows refer only to bytes that were written before them, so after a kill the
table is true and the file's end may hold bytes nobody refers to.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.data.convert import Outcome, Task
from trainer.data.items import Item, Ref
from trainer.data.naming import LANDMARK_SUFFIX, kind_of
from trainer.data.rejection import UNREADABLE_FOLDER

TODO, KEPT, REJECTED, NO_PICTURE = range(4)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS landmarks (
    name TEXT PRIMARY KEY, ref TEXT, stamp TEXT, listing INTEGER, is_new INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, name TEXT UNIQUE, place BLOB, ref TEXT, stamp TEXT,
    listing INTEGER, must INTEGER, state INTEGER, reason TEXT DEFAULT '', detail TEXT DEFAULT '',
    side_px INTEGER, offset INTEGER, bytes INTEGER, signature BLOB, attributes TEXT);
CREATE INDEX IF NOT EXISTS by_place ON items (state, place, name);
CREATE INDEX IF NOT EXISTS by_ref ON items (ref) WHERE substr(ref, 1, 9) = '["stream"';
"""
_SELECT_TASKS = (
    "SELECT number, items.name, items.ref, landmarks.ref, must FROM items"
    f" LEFT JOIN landmarks ON landmarks.name = items.name || '{LANDMARK_SUFFIX}' WHERE "
)
_COMMIT_EVERY = 200
_COMMIT_EVERY_SECS = 2.0


@dataclass(frozen=True)
class Stored:
    """A converted picture: where its record lies."""

    number: int
    offset: int
    bytes: int


class Ledger:
    """The work folder of one `prepare`.

    Args:
        folder: Made if need be.
        identity: What this work is for; work for anything else is thrown away.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._records = (folder / "records.bin").open("a+b")
        self.database = self._open(folder / "ledger.sqlite")
        if self._fact("identity") not in (None, identity):
            self._forget()
        self._set_fact("identity", identity)
        self._records.truncate(self._end_of_records())
        self._records.seek(0, 2)
        self._listing = int(self._fact("listing") or 0)
        self._uncommitted, self._committed = 0, time.monotonic()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(path)
        # A kill of the process loses nothing; only the machine's own fall could.
        database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)
        return database

    def _fact(self, key: str) -> str | None:
        row = self.database.execute("SELECT value FROM facts WHERE key = ?", [key]).fetchone()
        return row[0] if row else None

    def _set_fact(self, key: str, value: str) -> None:
        self.database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", [key, value])
        self.database.commit()

    def _forget(self) -> None:
        for table in ("facts", "landmarks", "items"):
            self.database.execute(f"DELETE FROM {table}")
        self.database.commit()

    def _end_of_records(self) -> int:
        query = "SELECT coalesce(max(offset + bytes), 0) FROM items"
        return int(self.database.execute(query).fetchone()[0])

    def close(self) -> None:
        """Saves everything."""
        self.commit()
        self.database.close()
        self._records.close()

    def commit(self) -> None:
        """Saves what has been done up to here."""
        self._records.flush()
        self.database.commit()
        self._uncommitted, self._committed = 0, time.monotonic()

    # --- listing ---

    def begin_listing(self) -> None:
        """Starts a listing; items that do not come up in it will be forgotten.

        Which pictures are duplicates depends on all of them, and is found anew.
        """
        self._listing += 1
        self.database.execute(
            "UPDATE items SET state = ?, reason = '', detail = '' WHERE reason = 'duplicate'",
            [KEPT],
        )
        self._set_fact("listing", str(self._listing))

    def add(self, item: Item, excluded: bool) -> None:
        """Notes one item.

        A picture converted earlier stays so if it has not changed, nor its landmarks (see
        `end_listing`). What was left out earlier is tried again.
        """
        kind, ref = kind_of(item.name), json.dumps(item.ref)
        if kind == "landmarks":
            self.database.execute(
                "INSERT INTO landmarks VALUES (?, ?, ?, ?, 1) ON CONFLICT (name) DO UPDATE SET"
                " is_new = is_new OR stamp != excluded.stamp, ref = excluded.ref,"
                " stamp = excluded.stamp, listing = excluded.listing",
                [item.name, ref, item.stamp, self._listing],
            )
        if kind in ("landmarks", "side file"):
            self._put(item, ref, NO_PICTURE, "", "", must=False)
        elif excluded:
            self._put(item, ref, REJECTED, "excluded", "by the list", must=False)
        elif item.refusal and (kind == "picture" or item.refusal[0] == UNREADABLE_FOLDER):
            self._put(item, ref, REJECTED, *item.refusal, must=True)
        elif item.refusal:
            self._put(item, ref, NO_PICTURE, "", "", must=False)
        else:
            self._put(item, ref, TODO, "", "", must=kind == "picture")

    def _put(
        self, item: Item, ref: str, state: int, reason: str, detail: str, *, must: bool
    ) -> None:
        name, copy = item.name, 1
        find = "SELECT number, listing, stamp, state FROM items WHERE name = ?"
        while row := self.database.execute(find, [name]).fetchone():
            if row[1] != self._listing:
                break
            copy += 1  # archives may hold one name twice
            name = f"{item.name}#{copy}"
        if row and row[2] == item.stamp and (state == TODO) == (row[3] in (TODO, KEPT)):
            change = "UPDATE items SET listing = ?, ref = ? WHERE number = ?"
            self.database.execute(change, [self._listing, ref, row[0]])
            return
        place = hashlib.blake2b(name.encode(), digest_size=8).digest()
        self.database.execute(
            "INSERT OR REPLACE INTO items (name, place, ref, stamp, listing, must, state, reason,"
            " detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [name, place, ref, item.stamp, self._listing, must, state, reason, detail],
        )
        self._tick()

    def end_listing(self) -> None:
        """Forgets what the source no longer has; where landmarks are others, so is the picture."""
        self.database.execute("DELETE FROM items WHERE listing != ?", [self._listing])
        self.database.execute(
            "UPDATE items SET state = ? WHERE state = ? AND name IN (SELECT"
            " substr(name, 1, length(name) - ?) FROM landmarks WHERE is_new OR listing != ?)",
            [TODO, KEPT, len(LANDMARK_SUFFIX), self._listing],
        )
        self.database.execute("DELETE FROM landmarks WHERE listing != ?", [self._listing])
        self.database.execute("UPDATE landmarks SET is_new = 0")
        self.commit()

    def _tick(self) -> None:
        self._uncommitted += 1
        late = time.monotonic() - self._committed > _COMMIT_EVERY_SECS
        if self._uncommitted >= _COMMIT_EVERY or late:
            self.commit()

    # --- converting ---

    def todo(self) -> Iterator[Task]:
        """Yields the tasks still to do, in the order they were listed."""
        last = 0
        query = _SELECT_TASKS + "state = ? AND number > ? ORDER BY number LIMIT 256"
        while rows := self.database.execute(query, [TODO, last]).fetchall():
            yield from map(_task, rows)
            last = rows[-1][0]

    def task_of(self, ref: Ref) -> Task | None:
        """Returns the task for a streamed item, or None if there is nothing to do for it."""
        query = (
            _SELECT_TASKS
            + "items.ref = ? AND substr(items.ref, 1, 9) = '[\"stream\"' AND state = ?"
        )
        row = self.database.execute(query, [json.dumps(ref), TODO]).fetchone()
        return row and _task(row)

    def finish(self, outcome: Outcome) -> None:
        """Stores what became of a task."""
        if outcome.record is not None:
            offset = self._records.tell()
            self._records.write(outcome.record)
            self.database.execute(
                "UPDATE items SET state = ?, offset = ?, bytes = ?, signature = ?, attributes = ?"
                " WHERE number = ?",
                [
                    KEPT,
                    offset,
                    len(outcome.record),
                    outcome.signature,
                    outcome.attributes,
                    outcome.number,
                ],
            )
        elif outcome.reason:
            self.reject(outcome.number, outcome.reason, outcome.detail, outcome.side_px)
        else:
            self._set_state(outcome.number, NO_PICTURE)
        self._tick()

    def reject(self, number: int, reason: str, detail: str, side_px: int | None = None) -> None:
        """Leaves an item out."""
        self.database.execute(
            "UPDATE items SET state = ?, reason = ?, detail = ?, side_px = ? WHERE number = ?",
            [REJECTED, reason, detail, side_px, number],
        )

    def _set_state(self, number: int, state: int) -> None:
        self.database.execute("UPDATE items SET state = ? WHERE number = ?", [state, number])

    # --- reading back ---

    def count(self, state: int) -> int:
        """Returns how many items are in a state."""
        query = "SELECT count(*) FROM items WHERE state = ?"
        return int(self.database.execute(query, [state]).fetchone()[0])

    def kept_by_place(self, start: int, count: int) -> Iterator[Stored]:
        """Yields pictures `start` to `start + count` of the shuffled order.

        The order is by a hash of the id, so it depends on neither the source's
        own order nor on who converted what.
        """
        rows = self.database.execute(
            "SELECT number, offset, bytes FROM items WHERE state = ? ORDER BY place, name"
            " LIMIT ? OFFSET ?",
            [KEPT, count, start],
        )
        for row in rows:
            yield Stored(*row)

    def record(self, stored: Stored) -> bytes:
        """Returns a framed record."""
        self._records.flush()
        self._records.seek(stored.offset)
        data = self._records.read(stored.bytes)
        self._records.seek(0, 2)
        return data

    def signatures(self) -> Iterator[tuple[int, str, bytes]]:
        """Yields number, name and signature of the kept pictures, by name."""
        last = ""
        query = (
            "SELECT number, name, signature FROM items WHERE state = ? AND name > ?"
            " ORDER BY name LIMIT 256"
        )
        while rows := self.database.execute(query, [KEPT, last]).fetchall():
            yield from rows
            last = rows[-1][1]


def _task(row: tuple[int, str, str, str | None, int]) -> Task:
    number, name, ref, landmarks, must = row
    return Task(
        number,
        name,
        _ref(ref),
        landmarks=_ref(landmarks) if landmarks else None,
        must_be_picture=bool(must),
    )


def _ref(text: str) -> Ref:
    return tuple(json.loads(text))
