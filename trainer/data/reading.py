"""How the bytes of one item are read, in whichever process converts it.

Owns the kinds of reference that sources give: `("file", path)`, `("range",
path, offset, size)`, `("zip", path, header fields)`, `("bucket", address,
name)`, `("text", bytes as Latin-1)`; and `("bytes", data)` for what has been read already.
Nothing here opens a path that a file of the source named: archives are read by
position, never unpacked.
"""

import bz2
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from trainer import storage
from trainer.data.decode import MAX_FILE_BYTES
from trainer.data.items import Ref
from trainer.data.rejection import Rejected

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


def read(ref: Ref) -> bytes:
    """Returns the bytes that `ref` stands for, at most one more than the limit of `decode`.

    Raises:
        Rejected: They cannot be read.
        StorageError: A bucket failed for longer than its deadline.
    """
    kind, *values = ref
    try:
        return _READERS[kind](*values)
    except FileNotFoundError as error:
        raise Rejected("unreadable", "it has gone since the source was listed") from error
    except OSError as error:
        raise Rejected("unreadable", str(error.strerror or error)) from error


def _read_file(path: str) -> bytes:
    # Not blocking, in case a pipe has taken the file's place since it was listed.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _read_range(path: str, offset: int, size: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(offset)
        data = file.read(min(size, MAX_FILE_BYTES + 1))
    if len(data) < min(size, MAX_FILE_BYTES + 1):
        raise Rejected("cut short", f"the archive ends after {len(data):,} of {size:,} bytes")
    return data


def _read_zip(path: str, offset: int, method: int, packed: int, size: int, crc: int) -> bytes:
    """Reads a member by what the archive's directory says of it.

    The directory of a large archive takes more memory than all else together,
    so it is read once, by the process that lists the source.
    """
    info = zipfile.ZipInfo("member")
    info.compress_type, info.compress_size, info.file_size, info.CRC = method, packed, size, crc
    try:
        with Path(path).open("rb") as file:
            file.seek(offset)
            header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            if header[0] != b"PK\x03\x04":
                raise Rejected("damaged", "the archive has no file where its directory says")
            file.seek(header[-2] + header[-1], io.SEEK_CUR)
            if method in _WHOLE:
                return _unpacked(file, _WHOLE[method](), packed, size, crc)
            with zipfile.ZipExtFile(file, "r", info, None, True) as member:
                return member.read(MAX_FILE_BYTES + 1)
    except (
        zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError
    ) as error:  # fmt: skip
        raise Rejected("damaged", f"in the archive: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Rejected("damaged", f"in the archive: {error}") from error  # bzip2's own
    except NotImplementedError as error:
        raise Rejected("unreadable", str(error)) from error


def _lzma() -> Callable[[bytes, int], bytes]:
    """Unpacks all of what it is given; a little of that fits into memory, whatever it is."""
    decompressor: Any = zipfile.LZMADecompressor()  # type: ignore[attr-defined]
    return lambda packed, most: b"" if decompressor.eof else decompressor.decompress(packed)


def _bzip2() -> Callable[[bytes, int], bytes]:
    """Unpacks so many bytes at most, and the rest when it is asked again."""
    decompressor = bz2.BZ2Decompressor()
    return lambda packed, most: b"" if decompressor.eof else decompressor.decompress(packed, most)


# Methods that `zipfile` unpacks as a whole, however large that is.
_WHOLE = {zipfile.ZIP_BZIP2: _bzip2, zipfile.ZIP_LZMA: _lzma}
# LZMA makes at most some thousand bytes of one.
_LITTLE_BYTES = 1024


def _unpacked(
    file: BinaryIO, unpack: Callable[[bytes, int], bytes], packed: int, size: int, crc: int
) -> bytes:
    """Unpacks a member little by little, and no more of it than it says or a picture may have."""
    data, left, most = bytearray(), packed, min(size, MAX_FILE_BYTES)
    while len(data) <= most:
        chunk = file.read(min(left, _LITTLE_BYTES))
        left -= len(chunk)
        more = unpack(chunk, most + 1 - len(data))
        if not chunk and not more:
            break
        data += more
    if zlib.crc32(data) != crc:
        raise zipfile.BadZipFile("Bad CRC-32")
    return bytes(data)


def _read_bucket(address: str, name: str) -> bytes:
    try:
        return _folder(address).read(name)
    except storage.NotFound as error:
        raise Rejected("unreadable", "it has gone since the source was listed") from error


@lru_cache(maxsize=4)
def _folder(address: str) -> storage.Folder:
    return storage.open_folder(address)


def _read_text(text: str) -> bytes:
    return text.encode("latin-1")


def _read_bytes(data: bytes) -> bytes:
    return data


_READERS: dict[str, Callable[..., bytes]] = {
    "file": _read_file,
    "range": _read_range,
    "zip": _read_zip,
    "bucket": _read_bucket,
    "text": _read_text,
    "bytes": _read_bytes,
}
