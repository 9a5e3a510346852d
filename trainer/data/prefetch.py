"""Fetching shards before they are needed.

Owns which shards of a known future are fetched now, and their leases until
they are taken. Does not know how a shard is fetched (`cache.py`) or why it is
next (`order.py`).
"""

import collections
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from trainer.data.cache import CachedShards
from trainer.data.cache_folder import Lease
from trainer.data.shards import Shard

DOWNLOADS = 8
# Each shard ahead keeps a file open, so small shards need a bound of their own.
MOST_AHEAD = 64
_POLL_SECS = 0.1


@dataclass(eq=False)
class _Entry:
    shard: Shard
    done: threading.Event = field(default_factory=threading.Event)
    lease: Lease | None = None
    error: Exception | None = None
    begun: bool = False
    taken: bool = False


class Prefetcher:
    """Runs ahead of a reader along the sequence of shards that it will take.

    Args:
        shards: Where shards come from.
        upcoming: Every shard that will be taken, in about that order. Consumed
            lazily; may be endless.
        downloads: Shards fetched at the same time.
    """

    def __init__(
        self, shards: CachedShards, upcoming: Iterator[Shard], *, downloads: int = DOWNLOADS
    ) -> None:
        self._shards, self._upcoming = shards, upcoming
        # Half of the cache may be ahead; the other half is for what is being
        # read, and for what is used again.
        self._budget_bytes = shards.capacity_bytes // 2
        self._ahead: list[_Entry] = []
        self._ahead_bytes = 0
        self._next: Shard | None = next(upcoming, None)
        self._taken_early: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._closed = False
        self._stop_relief = shards.on_pressure(self._give_one_up)
        # Daemons: a stalled download must not keep a process from ending.
        self._threads = [
            threading.Thread(target=self._work, name=f"shard-download-{n}", daemon=True)
            for n in range(downloads)
        ]
        for thread in self._threads:
            thread.start()
        with self._lock:
            self._fill()

    def take(self, shard: Shard) -> Lease:
        """Returns the shard's file: fetched ahead, or fetched now.

        Raises:
            DataError, StorageError: See `ShardFiles.acquire`.
        """
        with self._lock:
            entry = self._find(shard)
            if entry is None:
                self._taken_early[shard.name] += 1
            elif not entry.begun:
                # Downloads before it in the queue may be stalled; this one is due.
                entry.done.set()
        if entry is None:
            return self._shards.acquire(shard)
        entry.done.wait()
        with self._lock:
            lease, entry.lease = entry.lease, None
            if entry in self._ahead:
                self._ahead.remove(entry)
                self._ahead_bytes -= shard.bytes
            self._fill()
        if entry.error:
            raise entry.error
        return lease or self._shards.acquire(shard)

    def close(self) -> None:
        """Gives up what was fetched ahead; the downloads under way end by themselves."""
        self._stop_relief()
        with self._lock:
            self._closed = True
            leases = [entry.lease for entry in self._ahead if entry.lease]
            for entry in self._ahead:
                entry.lease = None
                entry.done.set()
        for lease in leases:
            lease.close()
        for _ in self._threads:
            self._queue.put(None)

    def _find(self, shard: Shard) -> _Entry | None:
        for entry in self._ahead:
            if entry.shard.name == shard.name and not entry.taken:
                entry.taken = True
                return entry
        return None

    def _fill(self) -> None:
        while self._next is not None and not self._closed:
            shard = self._next
            if self._taken_early[shard.name]:
                self._taken_early[shard.name] -= 1
            else:
                fits = self._ahead_bytes + shard.bytes <= self._budget_bytes
                if len(self._ahead) >= MOST_AHEAD or not fits:
                    return
                entry = _Entry(shard)
                self._ahead.append(entry)
                self._ahead_bytes += shard.bytes
                self._queue.put(entry)
            self._next = next(self._upcoming, None)

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            with self._lock:
                if entry.taken or self._closed:
                    continue
                entry.begun = True
            lease = None
            try:
                lease = self._fetch(entry)
            except Exception as error:  # whoever takes the shard hears of it
                entry.error = error
            with self._lock:
                if not self._closed:
                    entry.lease, lease = lease, None
            entry.done.set()
            if lease:
                lease.close()

    def _fetch(self, entry: _Entry) -> Lease | None:
        # Waits for room as long as nobody needs the shard. Who takes it may
        # press others for room, and gives up after a while; this does neither.
        while not (entry.taken or self._closed):
            lease = self._shards.try_acquire(entry.shard)
            if isinstance(lease, Lease):
                return lease
            time.sleep(_POLL_SECS)
        return None

    def _give_one_up(self) -> bool:
        with self._lock:
            for entry in reversed(self._ahead):
                if entry.lease and not entry.taken:
                    lease, entry.lease = entry.lease, None
                    lease.close()
                    return True
        return False
