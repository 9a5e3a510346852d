"""Whether the bucket does what a run needs of it, and whether the data set is whole.

Owns what is tried there. What it writes has a name of its own and is deleted again.
"""

import hashlib
import os
import statistics
import time
from collections.abc import Iterator

import numpy as np

from trainer import console, storage
from trainer.command_line import catgan
from trainer.config import Config
from trainer.data.decode import decode
from trainer.data.fitting import refuse_misfit
from trainer.data.order import lanes_for
from trainer.data.shards import (
    MANIFEST_NAME,
    Manifest,
    checked_manifest,
    damage_remedy,
    read_example,
    read_frames,
)
from trainer.errors import CatganError, DataError, StorageError
from trainer.launch import starting
from trainer.launch.finding import Finding, ok, warning
from trainer.launch.scratch import remove_all, scratch_folder
from trainer.run_folder import RunFolder

PROBE_BYTES = 8 * 2**20
_SMALL_TRIES = 5
# A bucket in another continent; every checkpoint and shard pays it.
_FAR_SECS = 0.3
_SLOW_MB_PER_SEC = 10.0


def bucket(config: Config) -> Iterator[Finding]:
    """Writes, reads, lists and deletes beside the run, and tries to overwrite unasked.

    Raises:
        StorageError: Something of it is refused, or overwriting is not.
    """
    data = os.urandom(PROBE_BYTES)
    with scratch_folder(f"{config.run.rstrip('/')}-doctor") as beside:
        asked = [_timed(lambda: beside.exists("small")) for _ in range(_SMALL_TRIES)]
        _must_refuse_to_overwrite(beside, "small")
        wrote = _timed(lambda: beside.write("large", data))
        read = _timed(lambda: beside.read("large"))
        if {entry.name for entry in beside.list()} != {"small", "large"}:
            raise StorageError(
                f"{beside.address} does not list what was just written",
                expected="a bucket, or a folder of a consistent file system",
                remedy="use a Google Cloud Storage bucket",
            )
        remove_all(beside)  # here it is tried too; afterwards it is only tidied up
    yield from _speed(config.run, statistics.median(asked), wrote, read)


def _must_refuse_to_overwrite(run: storage.Folder, name: str) -> None:
    """Writes an object twice, then tries what two starts would do to one another."""
    first = run.write(name, b"1", if_generation=storage.ABSENT)
    run.write(name, b"2", if_generation=first)
    for expected in (storage.ABSENT, first):
        try:
            run.write(name, b"3", if_generation=expected)
        except storage.Conflict:
            continue
        raise StorageError(
            f"{run.address} lets a second writer overwrite what a first one wrote",
            expected="conditional writes (generation preconditions): two starts of a run are kept "
            "apart by them",
            remedy="use Google Cloud Storage itself, or a server that honours ifGenerationMatch",
        )


def _timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _speed(address: str, ask_secs: float, write_secs: float, read_secs: float) -> Iterator[Finding]:
    rates = [PROBE_BYTES / 1e6 / max(secs, 1e-9) for secs in (write_secs, read_secs)]
    told = (
        f"{address}: read, written, listed and deleted; overwriting refused; "
        f"{1e3 * ask_secs:.0f} ms a question, {rates[0]:,.0f} MB/s written, {rates[1]:,.0f} MB/s "
        "read"
    )
    if ask_secs > _FAR_SECS or min(rates) < _SLOW_MB_PER_SEC:
        yield warning(
            "run folder",
            told,
            "use a bucket in the region of the cluster, or a faster disk; checkpoints and a "
            "resumption will be slow",
        )
    else:
        yield ok("run folder", told)


def dataset(config: Config) -> Iterator[Finding]:
    """Looks at the data set: all shards there, as many as lanes, a picture decoded.

    Raises:
        DataError: It is damaged, does not fit the config, or is neither there nor made.
    """
    folder = storage.open_folder(config.dataset.address)
    if not folder.exists(MANIFEST_NAME) and config.dataset.source:
        yield warning(
            "data set",
            f"{folder.address} is not there yet: the first start makes it from "
            f"{config.dataset.source}",
            f"prepare it before GPUs wait for it: {_as_the_first_start(config, folder)}",
        )
        return
    manifest = checked_manifest(folder)
    refuse_misfit(manifest, config.dataset, is_new=_is_new(config.run))
    starting.refuse_unmeasurable(config, manifest)
    shape = _decoded(folder, manifest)
    shards = manifest.split("train")
    size = sum(shard.bytes for shard in manifest.shards)
    yield ok(
        "data set",
        f"{folder.address}: {manifest.counts.train:,} pictures in {len(shards)} shards, "
        f"{console.size(size)}, all there; one decoded to {' × '.join(map(str, shape))}",
    )
    yield from _lanes(config, len(shards))


def _is_new(run: str) -> bool:
    """Whether there is no run yet; of a folder that cannot be used `bucket` tells."""
    try:
        return RunFolder(storage.open_folder(run)).read_record() is None
    except CatganError:
        return True


def _as_the_first_start(config: Config, folder: storage.Folder) -> str:
    """The command that gives the data set which `starting.prepare_if_missing` would."""
    wish = config.dataset
    words = ("--size", wish.size_px, "--crop", wish.crop, "--encoding", wish.encoding)
    held_out = ("--val-fraction", f"{wish.val_fraction:g}")
    return catgan("prepare", wish.source, folder.address, *words, *held_out)


def _decoded(folder: storage.Folder, manifest: Manifest) -> tuple[int, ...]:
    """Returns the shape of the first picture. Without TensorFlow, which would open the GPU here."""
    shard = manifest.split("train")[0]
    data = folder.read(shard.name)
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise DataError(
            f"the shard {folder.address_of(shard.name)} is damaged: its checksum is another",
            expected="the bytes that were prepared",
            remedy=damage_remedy(folder),
        )
    encoded, _ = read_example(next(iter(read_frames(data))))
    size = manifest.size_px
    if manifest.encoding == "raw":
        return np.frombuffer(encoded, np.uint8).reshape(size, size, 3).shape
    return np.asarray(decode(encoded)).shape


def _lanes(config: Config, shards: int) -> Iterator[Finding]:
    workers, lanes = config.cluster.max_workers, lanes_for(config)
    if workers > 1 and shards < lanes:
        yield warning(
            "lanes",
            f"{shards} shards are fewer than the {lanes} lanes of {workers} workers: every worker "
            "reads every shard",
            "prepare more pictures or smaller shards, or set dataset.lanes to a divisor of the "
            "number of shards",
        )
    else:
        yield ok("lanes", f"{lanes} lanes of {shards} shards for {workers} workers")
