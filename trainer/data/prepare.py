"""From a source of pictures to a data set.

Owns the steps and what a person is told on the way: list, convert, leave out
near-duplicates, deal to shards, publish. Each step has a module of its own.

The result is a function of the source and the options: neither the order in
which a folder lists its files, nor the number of workers, nor interruptions
change a byte. What has been converted is kept in a work folder until the
manifest is written, so that the same command goes on where it stopped.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer import storage
from trainer.data import dedup
from trainer.data.convert import Recipe, Task
from trainer.data.describe import describe, must_have_pictures, versions
from trainer.data.exclude import ExcludeList, read_exclude_list
from trainer.data.finished import find_finished, listing_of, refuse_foreign, shard_problems
from trainer.data.items import Item, Ref, Source
from trainer.data.ledger import KEPT, REJECTED, TODO, Ledger
from trainer.data.naming import MAX_NOTE_BYTES, is_licence
from trainer.data.options import PrepareOptions
from trainer.data.pool import MakeExecutor, convert_with_workers
from trainer.data.publish import DamagedWork, write_lists, write_manifest, write_shards
from trainer.data.reading import read
from trainer.data.rejection import Rejected
from trainer.data.shards import Manifest, Shard, SourceInfo
from trainer.data.source import open_source
from trainer.data.status import Report, Status
from trainer.data.workplace import held, remove_work, work_folder
from trainer.errors import ConfigError, DataError, InterruptedRun

log = logging.getLogger("catgan.data")


def prepare(
    source: str,
    address: str,
    options: PrepareOptions | None = None,
    progress: Report | None = None,
    make_executor: MakeExecutor | None = None,
) -> Manifest:
    """Makes a data set, or goes on making it, or finds it made already.

    Args:
        source: See `source.open_source`.
        address: Folder or `gs://bucket/prefix` of the data set.
        options: What to make.
        progress: Called often with where it stands.
        make_executor: Who converts the pictures; default: processes of this machine. It
            changes nothing in the result.

    Returns:
        The manifest of the finished data set. One that is there and not whole is made again.

    Raises:
        ConfigError: An option, an address or the exclude list is wrong, or the
            address holds something else.
        DataError: The source is missing, damaged, or gives no picture.
        StorageError: Something cannot be read or written.
        ClusterError: Those who convert cannot go on.
        InterruptedRun: Ctrl-C; what is done is kept.
    """
    options = options or PrepareOptions()
    target = storage.open_folder(address)
    excluded = read_exclude_list(options.exclude)
    work = work_folder(target)
    opened = open_source(source, work, skip=target.address if target.is_local else None)
    if _is_one(opened.address, target):
        raise ConfigError(
            f"{address} is both the source and the data set",
            remedy="give the data set a folder of its own",
        )
    wanted = {**options.that_matter(), "exclude": excluded.digest}
    found = find_finished(target, opened, wanted)
    if found is not None and _is_whole(found, target):
        return found
    refuse_foreign(target)
    job = _Job(opened, target, options, excluded, wanted, work, progress or (lambda status: None))
    job.damaged = found
    job.make_executor = make_executor
    try:
        with held(work):
            return _done(job, work)
    except KeyboardInterrupt as interrupt:
        raise InterruptedRun(
            f"interrupted with {job.kept:,} pictures converted",
            remedy="run the same command again: it goes on where it stopped",
        ) from interrupt


def _is_one(source: str, target: storage.Folder) -> bool:
    """Tells whether the data set would lie in its source's own place, through links too."""
    if target.is_local:
        with suppress(OSError):
            return os.path.samefile(source, target.address)
    return source == target.address


def _is_whole(manifest: Manifest, target: storage.Folder) -> bool:
    """Tells, a person too, whether nothing is left to do about a finished data set."""
    problems = shard_problems(target, manifest)
    if not problems:
        log.info("%s is prepared already: nothing to do", target.address)
        return True
    log.warning(
        "%s is prepared already and not whole, so it is made again: %s%s",
        target.address,
        problems[0],
        f"; and {len(problems) - 1} more" if len(problems) > 1 else "",
    )
    return False


def _done(job: "_Job", work: Path) -> Manifest:
    """Runs a job and removes its work folder, while it is held: it is nobody else's then."""
    try:
        manifest = job.run()
    except (DamagedWork, ConfigError):  # of no use any more
        remove_work(work)
        raise
    except DataError:
        if job.kept == 0:
            remove_work(work)
        raise
    remove_work(work)
    return manifest


class _Job:
    def __init__(
        self,
        source: Source,
        target: storage.Folder,
        options: PrepareOptions,
        excluded: ExcludeList,
        wanted: dict[str, Any],
        work: Path,
        progress: Report,
    ) -> None:
        self._source, self._target, self._options = source, target, options
        self._excluded, self._wanted, self._work = excluded, wanted, work
        self._progress = progress
        self._recipe = Recipe(options.size_px, options.crop, options.encoding, options.dedup)
        self._licence: tuple[tuple[int, str], str] | None = None
        self.make_executor: MakeExecutor | None = None
        self.damaged: Manifest | None = None
        self.kept = 0

    def run(self) -> Manifest:
        makers = versions(self._options)
        identity = json.dumps([self._source.address, self._wanted, makers], sort_keys=True)
        ledger = Ledger(self._work, hashlib.sha256(identity.encode()).hexdigest())
        try:
            listing = self._list(ledger)
            self._convert(ledger)
            if self._options.dedup:
                self._leave_out_duplicates(ledger)
            must_have_pictures(ledger, self._source.address)
            # Another one may have been quicker: what it finished is not written over.
            if (ready := self._ready()) is not None:
                return ready
            shards = self._write(ledger)
            write_lists(ledger, self._target)
            origin = SourceInfo(
                address=self._source.address,
                licence=self._licence[1] if self._licence else self._source.licence,
                listing=listing,
                stamp=self._source.stamp or None,
            )
            manifest = describe(ledger, self._options, self._wanted, origin, shards)
            return self._published(manifest)
        finally:
            self.kept = ledger.count(KEPT)
            ledger.close()

    def _ready(self) -> Manifest | None:
        found = find_finished(self._target, self._source, self._wanted)
        return None if found == self.damaged else found

    def _published(self, manifest: Manifest) -> Manifest:
        try:
            write_manifest(manifest, self._target, over=self.damaged)
        except storage.Conflict:
            # Written meanwhile by one with the same wish, whose shards are the same; or refused.
            if (ready := self._ready()) is None:
                raise
            return ready
        if self.damaged and self.damaged.fingerprint != manifest.fingerprint:
            log.warning(
                "other versions of the program or its libraries made it: %s has not the same bytes "
                "as before, and runs on it cannot go on",
                self._target.address,
            )
        return manifest

    def _list(self, ledger: Ledger) -> str:
        ledger.begin_listing()
        digest = listing_of(self._noted(ledger))
        ledger.end_listing()
        return digest

    def _noted(self, ledger: Ledger) -> Iterator[Item]:
        for done, item in enumerate(self._source.items(), start=1):
            ledger.add(item, excluded=item.name in self._excluded)
            if is_licence(item.name) and item.ref[0] != "stream" and item.refusal is None:
                self._note_licence(item)
            if done % 1000 == 0:
                self._progress(Status("listing", done, None))
            yield item

    def _note_licence(self, item: Item) -> None:
        """Keeps the text nearest to the top, whatever the order of the listing."""
        place = (item.name.count("/"), item.name)
        if self._licence is None or place < self._licence[0]:
            text = _text(item)
            self._licence = (place, text) if text else self._licence

    def _convert(self, ledger: Ledger) -> None:
        tasks = _streamed(self._source, ledger) if self._source.streams else ledger.todo()
        kept, rejected = ledger.count(KEPT), ledger.count(REJECTED)
        total = ledger.count(TODO) + kept + rejected
        if kept:
            log.info("going on: %d pictures are converted already", kept)
        done = kept + rejected
        converted = convert_with_workers(
            tasks, self._recipe, self._options.workers, self.make_executor
        )
        with closing(converted):  # ends the workers at once, also after Ctrl-C
            for outcome in converted:
                ledger.finish(outcome)
                done += 1
                kept += outcome.record is not None
                rejected += bool(outcome.reason)
                self._progress(Status("converting", done, total, kept, rejected))
        ledger.commit()

    def _leave_out_duplicates(self, ledger: Ledger) -> None:
        seen, total = dedup.Duplicates(ledger.database), ledger.count(KEPT)
        names = "SELECT name FROM items WHERE number = ?"
        for done, (number, _, mark) in enumerate(ledger.signatures(), start=1):
            first = seen.add(number, mark)
            if first is not None:
                name = ledger.database.execute(names, [first]).fetchone()[0]
                ledger.reject(number, "duplicate", f"of {name}")
            self._progress(Status("comparing", done, total))
        ledger.commit()

    def _write(self, ledger: Ledger) -> tuple[Shard, ...]:
        kept, rejected = ledger.count(KEPT), ledger.count(REJECTED)

        def advance(done: int) -> None:
            self._progress(Status("writing", done, kept, kept, rejected))

        return write_shards(ledger, self._target, self._options.val_fraction, advance)


def _streamed(source: Source, ledger: Ledger) -> Iterator[Task]:
    tasks: dict[Ref, Task] = {}

    def wanted(ref: Ref) -> bool:
        task = ledger.task_of(ref)
        if task is not None:
            tasks[ref] = task
        return task is not None

    for ref, data in source.stream(wanted):
        yield replace(tasks.pop(ref), data=data)


def _text(item: Item) -> str | None:
    if not 0 < item.size_bytes <= MAX_NOTE_BYTES:
        return None
    try:
        return read(item.ref)[:2000].decode("utf-8", errors="replace").strip()
    except Rejected:
        return None
