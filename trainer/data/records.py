"""The bytes of one record and of one shard file.

Owns the framing of TFRecord files and the `tf.train.Example` inside. Does not
know what a data set is (`shards.py`).

Written and read here without TensorFlow: worker processes of `prepare` would
otherwise spend seconds importing it. The format is small and frozen (two
length-prefixed checksums around a protocol buffer of two fields); tests hold
it against TensorFlow's own reader and writer.
"""

import struct
from collections.abc import Iterator

import google_crc32c

from trainer.errors import DataError

_MASK_DELTA = 0xA282EAD8


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame(record: bytes) -> bytes:
    """Returns `record` framed for a TFRecord file: length and body, each with its checksum."""
    length = struct.pack("<Q", len(record))
    return b"".join(
        (
            length,
            struct.pack("<I", _masked_crc(length)),
            record,
            struct.pack("<I", _masked_crc(record)),
        )
    )


def read_frames(data: bytes | memoryview, name: str = "shard") -> Iterator[memoryview]:
    """Yields the records of a whole TFRecord file, checksums verified.

    Raises:
        DataError: The file is cut short or damaged.
    """
    view, position = memoryview(data), 0
    while position < len(view):
        header = bytes(view[position : position + 12])
        if len(header) < 12 or struct.unpack("<I", header[8:])[0] != _masked_crc(header[:8]):
            raise _damaged(name, position)
        end = position + 12 + struct.unpack("<Q", header[:8])[0]
        body, tail = view[position + 12 : end], bytes(view[end : end + 4])
        if len(tail) < 4 or struct.unpack("<I", tail)[0] != _masked_crc(bytes(body)):
            raise _damaged(name, position)
        yield body
        position = end + 4


def _damaged(name: str, position: int) -> DataError:
    return DataError(
        f"{name} is damaged: the record at byte {position} fails its checksum",
        expected="the file as 'catgan prepare' wrote it",
        remedy="copy the data set again, or prepare it again",
    )


def write_example(image: bytes, picture_id: str) -> bytes:
    """Returns a serialized `tf.train.Example` with the features `id` and `image`.

    Equal arguments give equal bytes: the map's entries go in a fixed order.
    """
    entries = b"".join(
        _field(1, _field(1, key) + _field(2, _field(1, _field(1, value))))
        for key, value in ((b"id", picture_id.encode()), (b"image", image))
    )
    return _field(1, entries)


def read_example(record: bytes | memoryview) -> tuple[bytes, str]:
    """Returns `(image, id)` of a record that `write_example` or TensorFlow wrote.

    Raises:
        DataError: The record holds something else.
    """
    found: dict[bytes, bytes] = {}
    try:
        for _, features in _fields(memoryview(record)):
            for _, entry in _fields(features):
                parts = dict(_fields(entry))
                values = [v for _, v in _fields(dict(_fields(parts[2]))[1])]
                found[bytes(parts[1])] = bytes(values[0])
        return found[b"image"], found[b"id"].decode()
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(
            "a record does not hold a picture and its id",
            expected="features 'image' and 'id', one byte string each",
            remedy="prepare the data set again",
        ) from error


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    position = 0
    while position < len(view):
        tag, position = view[position], position + 1
        if tag & 7 != 2:
            raise ValueError(f"wire type {tag & 7}")
        length = shift = 0
        while True:
            byte, position = view[position], position + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if position + length > len(view):
            raise ValueError("field runs over the end")
        yield tag >> 3, view[position : position + length]
        position += length
