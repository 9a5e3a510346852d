"""Shards as files on this machine, whole and checked.

Owns where a shard is read from: in place where the data set is a local folder,
else from a bounded cache folder that several processes may share. Proves each
shard against the manifest's SHA-256 before its first use. Does not know in
which order shards are used (`trainer.data.order`), nor which come next
(`trainer.data.prefetch`); the files of the cache folder are `cache_folder.py`'s.
"""

import hashlib
import logging
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from trainer import storage
from trainer.data.cache_folder import CacheFolder, Lease, Part, Wait
from trainer.data.shards import Shard, damage_remedy
from trainer.errors import CatganError, ConfigError, DataError
from trainer.storage import limits

log = logging.getLogger("catgan.data")

MIB = 2**20
DOWNLOAD_TRIES = 3
_POLL_SECS = 0.02


class ShardFiles(Protocol):
    """Gives shards as files. Safe to use from several threads."""

    def acquire(self, shard: Shard) -> Lease:
        """Returns the shard's file, which stays readable until the lease is closed.

        Raises:
            DataError: The shard is missing, or is not what the manifest says.
            StorageError: The data set or the cache folder cannot be used.
            ConfigError: The cache folder stays full of shards in use.
        """
        ...


class LocalShards:
    """Shards of a data set in a local folder, read in place."""

    def __init__(self, folder: storage.Folder) -> None:
        self._folder = folder
        self._proved: set[str] = set()

    def acquire(self, shard: Shard) -> Lease:
        """See `ShardFiles.acquire`. A shard is hashed once in a process."""
        path = self._folder.path(shard.name)
        if path is None:
            raise TypeError(f"{self._folder.address} is not a local folder")
        if shard.name not in self._proved:
            try:
                found = _digest(path)
            except FileNotFoundError:
                raise _missing(self._folder, shard) from None
            except OSError as error:
                raise _unreadable(path, error) from error
            if found != shard.sha256:
                raise _damaged(self._folder, shard, found)
            self._proved.add(shard.name)
        return Lease(path)


class CachedShards:
    """Shards of a data set in a bucket, through a bounded folder of this machine.

    Args:
        folder: The data set.
        cache_dir: Cache folder, created at first use. Data sets, runs and
            processes may share it.
        cache_mib: Most MiB of all files in it, unfinished ones counted whole.
    """

    def __init__(self, folder: storage.Folder, cache_dir: Path | str, cache_mib: float) -> None:
        self._folder = folder
        self.capacity_bytes = int(cache_mib * MIB)
        self._files = CacheFolder(Path(cache_dir), self.capacity_bytes)
        self._proved: set[str] = set()
        self._relief: list[Callable[[], bool]] = []
        self._lock = threading.Lock()

    def check_capacity(self, largest_bytes: int) -> None:
        """Raises ConfigError unless two shards of the largest size fit."""
        if self.capacity_bytes < 2 * largest_bytes:
            raise ConfigError(
                f"dataset.cache_mib allows {self.capacity_bytes:,} bytes, and the largest shard "
                f"of {self._folder.address} has {largest_bytes:,}",
                expected="room for two shards",
                remedy=f"set dataset.cache_mib={-(-2 * largest_bytes // MIB)} or more",
            )

    def on_pressure(self, relieve: Callable[[], bool]) -> Callable[[], None]:
        """Calls `relieve` when nothing more can be evicted; returns how to stop that.

        `relieve` closes a lease that its owner can do without and returns True,
        or False if it has none.
        """
        with self._lock:
            self._relief.append(relieve)

        def stop() -> None:
            with self._lock, suppress(ValueError):
                self._relief.remove(relieve)

        return stop

    def acquire(self, shard: Shard) -> Lease:
        """See `ShardFiles.acquire`. Downloads the shard where it is not here."""
        deadline_secs = limits.current().deadline_secs
        end = time.monotonic() + deadline_secs
        while True:
            lease = self.try_acquire(shard)
            if isinstance(lease, Lease):
                return lease
            if lease is Wait.FULL:
                self._relieve()
            if time.monotonic() > end:
                raise self._waited_too_long(shard, lease, deadline_secs)
            time.sleep(_POLL_SECS)

    def try_acquire(self, shard: Shard) -> Lease | Wait:
        """As `acquire`, but returns the reason where it would have to wait its turn."""
        lease = self._files.open(shard.sha256)
        if lease is not None:
            if self._is_whole(shard, lease):
                return lease
            self._files.discard(lease)
        part = self._files.reserve(shard.sha256, shard.bytes)
        return part if isinstance(part, Wait) else self._fetch(shard, part)

    def _is_whole(self, shard: Shard, lease: Lease) -> bool:
        if shard.sha256 in self._proved:
            return True
        found = _digest(lease.path)
        if found != shard.sha256:
            log.warning("%s in the cache is damaged; it is fetched again", shard.name)
            return False
        self._proved.add(shard.sha256)
        return True

    def _fetch(self, shard: Shard, part: Part) -> Lease:
        found = ""
        try:
            for _ in range(DOWNLOAD_TRIES):
                # Shards are at most 8 MB, so they go through memory.
                data = self._folder.read(shard.name)
                found = hashlib.sha256(data).hexdigest()
                if found == shard.sha256:
                    lease = part.finish(data)
                    self._proved.add(shard.sha256)
                    return lease
                log.warning("%s came with a wrong SHA-256", self._folder.address_of(shard.name))
        except storage.NotFound:
            raise _missing(self._folder, shard) from None
        finally:
            part.drop()
        raise _damaged(self._folder, shard, found)

    def _relieve(self) -> None:
        with self._lock:
            relief = list(self._relief)
        for relieve in relief:
            if relieve():
                return

    def _waited_too_long(self, shard: Shard, reason: Wait, deadline_secs: float) -> CatganError:
        what = (
            f"{shard.name} ({shard.bytes:,} bytes) could not be put into {self._files.directory} "
            f"for {deadline_secs:.0f} s: {reason.value}"
        )
        if reason is Wait.COMING:
            return storage.StorageError(
                what,
                expected="a download that ends",
                remedy="look at the other processes that use this cache folder: one that hangs or "
                "is stopped keeps the shard; or set dataset.cache_dir to a folder of its own",
            )
        return ConfigError(
            what,
            expected=f"room in its {self.capacity_bytes:,} bytes for the shards that all "
            "processes of this machine read at once",
            remedy="set a larger dataset.cache_mib, or give each run a cache folder of its own",
        )


def open_shards(
    folder: storage.Folder, *, cache_dir: Path | str, cache_mib: float
) -> LocalShards | CachedShards:
    """Returns the shards of a data set: in place if it is local, else through a cache."""
    if folder.is_local:
        return LocalShards(folder)
    return CachedShards(folder, cache_dir, cache_mib)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _missing(folder: storage.Folder, shard: Shard) -> DataError:
    return DataError(
        f"{folder.address_of(shard.name)} is missing",
        expected=f"a shard of {shard.bytes:,} bytes that the manifest lists",
        remedy=damage_remedy(folder),
    )


def _damaged(folder: storage.Folder, shard: Shard, found: str) -> DataError:
    return DataError(
        f"{folder.address_of(shard.name)} is damaged: its SHA-256 begins {found[:12]}",
        expected=f"{shard.sha256[:12]}, as the manifest says",
        remedy=damage_remedy(folder),
    )


def _unreadable(path: Path, error: OSError) -> storage.StorageError:
    return storage.StorageError(
        f"cannot read {path}: {error.strerror or error}",
        expected="a file that this user may read, on a disk that answers",
        remedy=f"look with `ls -l {shlex.quote(str(path))}`",
    )
