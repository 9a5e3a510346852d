"""Pictures in zip and tar files.

Owns how members are listed and found. Nothing is ever unpacked to disk, so a
member called `../x` or `/etc/x` is a label like any other; links and devices
are refused.
"""

import bz2
import contextlib
import gzip
import hashlib
import io
import logging
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainer.data.decode import MAX_FILE_BYTES
from trainer.data.items import Item, Ref, Source
from trainer.data.naming import MAX_NOTE_BYTES, is_note
from trainer.errors import DataError

log = logging.getLogger("catgan.data")

# By what compressed files begin with. Their readers verify checksums, `tarfile`'s own do not.
_UNPACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_STAMPED_BYTES = 65_536
# What may stand behind the end of a tar archive.
_MOST_PADDING_BYTES = 64 << 20


class ZipSource(Source):
    """The members of a zip file, read by position."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._path = path

    def items(self) -> Iterator[Item]:
        """Yields every member; takes about half a kilobyte of memory for each."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                while archive.filelist:
                    info = archive.filelist.pop()
                    if not info.is_dir():
                        yield self._item(info)
                    archive.NameToInfo.pop(info.filename, None)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError) as error:
            raise _damaged(self.address, error) from error
        except OSError as error:
            raise _unreadable(self.address, error) from error

    def _item(self, info: zipfile.ZipInfo) -> Item:
        refusal = None
        if stat.S_ISLNK(info.external_attr >> 16):
            refusal = ("link in an archive", "")
        elif info.flag_bits & 0x1:
            refusal = ("encrypted", "")
        elif info.file_size > MAX_FILE_BYTES:
            refusal = ("file too large", f"unpacks to {info.file_size:,} bytes")
        ref: Ref = (
            "zip",
            str(self._path),
            info.header_offset,
            info.compress_type,
            info.compress_size,
            info.file_size,
            info.CRC,
        )
        stamp = f"{info.file_size}:{info.CRC:08x}"
        return Item(label(info.filename), ref, info.file_size, stamp, refusal)


class TarSource(Source):
    """The members of a tar file: by position, or in passing where it is compressed."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._path = path
        with path.open("rb") as file:
            first = file.read(6)
        self._unpacked = next(
            (o for magic, o in _UNPACKED.items() if first.startswith(magic)), None
        )
        self.streams = self._unpacked is not None or first.startswith(_ZSTANDARD)
        self.lists_cheaply = not self.streams
        if self.streams:
            self.stamp = self._end_of_file()

    def _end_of_file(self) -> str:
        """Tells two compressed files apart: their sizes and checksums stand at their ends."""
        with self._path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - _STAMPED_BYTES))
            return f"{size}:{hashlib.sha256(file.read()).hexdigest()}"

    def items(self) -> Iterator[Item]:
        """Yields every member that is a file, or pretends to be a picture."""
        for position, (archive, member) in enumerate(self._members()):
            if member.isdir():
                continue
            yield self._item(archive, member, position)

    def _item(self, archive: tarfile.TarFile, member: tarfile.TarInfo, position: int) -> Item:
        refusal = None
        if member.issym() or member.islnk():
            refusal = ("link in an archive", f"to {member.linkname!r}")
        elif not member.isreg() or member.issparse():
            refusal = ("device in an archive", "" if member.isdev() else "sparse file")
        elif member.size > MAX_FILE_BYTES:
            refusal = ("file too large", f"{member.size:,} bytes")
        ref: Ref = ("range", str(self._path), member.offset_data, member.size)
        if self.streams and refusal is None:
            ref = ("stream", position)
            if is_note(member.name):
                # Needed beside the pictures, before or after its turn, and never beyond this.
                ref = ("text", self._read(archive, member, MAX_NOTE_BYTES).decode("latin-1"))
        stamp = f"{member.size}:{member.mtime}"
        return Item(label(member.name), ref, member.size, stamp, refusal)

    def stream(self, wanted: Callable[[Ref], bool]) -> Iterator[tuple[Ref, bytes]]:
        """Yields the wanted members' bytes, in the archive's order."""
        for position, (archive, member) in enumerate(self._members()):
            ref = ("stream", position)
            if member.isreg() and wanted(ref):
                yield ref, self._read(archive, member, MAX_FILE_BYTES + 1)

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        with self._damage_told(), self._opened() as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
                yield archive, member

    def _read(self, archive: tarfile.TarFile, member: tarfile.TarInfo, most_bytes: int) -> bytes:
        with self._damage_told():
            file = archive.extractfile(member)
            return file.read(most_bytes) if file else b""

    @contextlib.contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
            raise _damaged(self.address, error) from error
        except OSError as error:
            if error.errno is None:  # of what unpacks, not of the system
                raise _damaged(self.address, error) from error
            raise _unreadable(self.address, error) from error

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tarfile.TarFile]:
        if self._unpacked is None:
            mode = "r|*" if self.streams else "r:"
            with tarfile.open(self._path, mode, tarinfo=_Member) as archive:  # type: ignore[call-overload]
                yield archive
            return
        with self._unpacked(self._path) as file:
            with tarfile.open(self._path, "r|", file, tarinfo=_Member) as archive:  # type: ignore[call-overload]
                yield archive
            # The checksum is at the very end.
            for _ in range(0, _MOST_PADDING_BYTES, 1 << 20):
                if not file.read(1 << 20):
                    return
            raise tarfile.ReadError(f"more than {_MOST_PADDING_BYTES:,} bytes behind its end")


class _Member(tarfile.TarInfo):
    """A header that may not be damaged: `tarfile` takes one such, but the first, for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Member":
        try:
            member = super().fromtarfile(archive)
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            # Some programs leave the end mark away, so this may be all there ever was.
            if archive.offset:
                log.warning("%s has no end mark: it may be cut short", archive.name)
            raise
        except (
            tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
            tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
        ) as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset:,}") from error
        if member.size < 0 or archive.offset < member.offset_data:
            raise tarfile.ReadError(f"a member of {member.size:,} bytes")
        return member


def label(name: str) -> str:
    """Returns a member's name as a label: forward slashes, no way up, no root."""
    parts = name.replace("\\", "/").split("/")
    kept = "/".join(part for part in parts if part not in ("", ".", ".."))
    return kept.encode("utf-8", errors="backslashreplace").decode() or "unnamed"


def _damaged(address: str, error: Exception) -> DataError:
    return DataError(
        f"{address} is damaged: {error}",
        expected="a whole archive",
        remedy="download or pack it again",
    )


def _unreadable(address: str, error: OSError) -> DataError:
    return DataError(
        f"{address} cannot be read: {error.strerror or error}",
        remedy="check that it is there and its permissions",
    )


def open_archive(path: Path) -> Source:
    """Returns the source in a zip or tar file; raises DataError."""
    if not path.is_file():
        raise _no_archive(path, "is neither a folder nor a file")
    try:
        if zipfile.is_zipfile(path):
            return ZipSource(path.resolve())
        if tarfile.is_tarfile(path):
            return TarSource(path.resolve())
    except (EOFError, zlib.error, lzma.LZMAError) as error:  # compressed, and cut or damaged
        raise _damaged(str(path), error) from error
    except OSError as error:
        raise _unreadable(str(path), error) from error
    raise _no_archive(path, "is neither a zip nor a tar archive, or it is damaged")


def _no_archive(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} {what}",
        expected="a folder of pictures, or a zip or tar file of them",
        remedy=f"give the folder that holds it: {path.parent}",
    )
