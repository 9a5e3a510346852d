"""Near-duplicates: the same photograph stored twice, scaled, or compressed again.

Owns what counts as one. A picture is a near-duplicate of an earlier one (in
the order of their ids) if their 128-bit difference hashes differ in at most
`MAX_BITS` bits and their 16x16 thumbnails correlate by `MIN_CORRELATION` or
more, or differ by less than `SAME_LEVELS` on average: pictures of one colour
have no correlation. The hash finds candidates quickly; faces cropped alike
often collide in it, so the thumbnails decide. Mirrored, turned or differently
cropped pictures are not found.
"""

import sqlite3

import numpy as np
from PIL import Image

MAX_BITS = 7
MIN_CORRELATION = 0.985
SAME_LEVELS = 2  # of 256
SETTINGS = {
    "hash": "dhash 8x8, across and down",
    "max_bits": MAX_BITS,
    "min_correlation": MIN_CORRELATION,
}

_THUMB_PX = 16
_HASH_BYTES = 16
# Two hashes that differ in at most 7 bits agree wholly in at least one of 8 bands.
_BAND_BYTES = _HASH_BYTES // (MAX_BITS + 1)


def signature(image: Image.Image) -> bytes:
    """Returns 16 bytes of difference hash and 768 bytes of RGB thumbnail."""
    grey = image.convert("L")
    across = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    down = np.asarray(grey.resize((8, 9), Image.Resampling.BOX))
    bits = np.concatenate([across[:, 1:] > across[:, :-1], down[1:] > down[:-1]], axis=None)
    thumbnail = image.resize((_THUMB_PX, _THUMB_PX), Image.Resampling.BOX)
    return np.packbits(bits).tobytes() + thumbnail.tobytes()


class Duplicates:
    """Remembers kept pictures in a table on disk, so that memory does not grow with them.

    Args:
        database: Gets a temporary table.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(
            "CREATE TEMP TABLE IF NOT EXISTS bands (band INTEGER, value INTEGER, item INTEGER,"
            " PRIMARY KEY (band, value, item)) WITHOUT ROWID"
        )
        database.execute("DELETE FROM bands")

    def add(self, item: int, mark: bytes) -> int | None:
        """Returns the kept item that this one repeats; None if it is new, and kept itself."""
        starts = range(0, _HASH_BYTES, _BAND_BYTES)
        keys = [(at, int.from_bytes(mark[at : at + _BAND_BYTES])) for at in starts]
        for other, other_mark in self._candidates(keys):
            if _alike(mark, other_mark):
                return other
        self._database.executemany(
            "INSERT INTO bands VALUES (?, ?, ?)", [(*key, item) for key in keys]
        )
        return None

    def _candidates(self, keys: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
        where = " OR ".join("(band = ? AND value = ?)" for _ in keys)
        query = (
            f"SELECT number, signature FROM items WHERE number IN"
            f" (SELECT item FROM bands WHERE {where}) ORDER BY name"
        )
        return self._database.execute(query, [part for key in keys for part in key]).fetchall()


def _alike(mark: bytes, other: bytes) -> bool:
    different = int.from_bytes(mark[:_HASH_BYTES]) ^ int.from_bytes(other[:_HASH_BYTES])
    if different.bit_count() > MAX_BITS:
        return False
    a = np.frombuffer(mark, np.uint8, offset=_HASH_BYTES).astype(np.float64)
    b = np.frombuffer(other, np.uint8, offset=_HASH_BYTES).astype(np.float64)
    if np.abs(a - b).mean() < SAME_LEVELS:
        return True
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return scale > 0 and float(a @ b) / scale >= MIN_CORRELATION
