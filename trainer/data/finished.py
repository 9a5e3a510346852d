"""A data set that is there already.

Owns whether it is the one asked for, whether it is whole, and what else may lie in its place.
"""

import hashlib
import logging
import shlex
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainer import storage
from trainer.data.items import Item, Source
from trainer.data.publish import is_ours
from trainer.data.shards import MANIFEST_NAME, Manifest, Shard, read_manifest
from trainer.errors import CatganError, ConfigError

log = logging.getLogger("catgan.data")

_READ_THREADS = 4


def listing_of(items: Iterable[Item]) -> str:
    """Returns a digest over names and sizes, whatever their order."""
    total = 0
    for item in items:
        entry = hashlib.blake2b(f"{item.size_bytes}:{item.name}".encode(), digest_size=16)
        total = (total + int.from_bytes(entry.digest())) % 2**128
    return f"{total:032x}"


def find_finished(
    target: storage.Folder, source: Source, wanted: dict[str, Any]
) -> Manifest | None:
    """Returns the manifest of a finished data set that is the one asked for, None if there is none.

    Raises:
        ConfigError: There is another one, or the source has changed since.
        DataError: Its manifest is damaged.
    """
    if not target.exists(MANIFEST_NAME):
        return None
    manifest = read_manifest(target)
    both = f"give another address, or remove it first: {_removal(target)}"
    other = {
        f"{key} is {manifest.options.get(key)!r}, asked for {value!r}"
        for key, value in wanted.items()
        if manifest.options.get(key) != value
    }
    listing = _listing(source)
    same_files = listing is not None and manifest.source.listing == listing
    if manifest.source.address != source.address and not same_files:
        other.add(f"source is {manifest.source.address}, asked for {source.address}")
    if other:
        raise ConfigError(
            f"{target.address} holds a data set prepared otherwise: {'; '.join(sorted(other))}",
            expected="the same options, or a new address",
            remedy=both,
        )
    stamps = {source.stamp, manifest.source.stamp or ""} - {""}
    if (listing is not None and not same_files) or len(stamps) > 1:
        raise ConfigError(
            f"{source.address} has changed since {target.address} was prepared from it",
            expected="the same files",
            remedy=both,
        )
    return manifest


def shard_problems(target: storage.Folder, manifest: Manifest) -> list[str]:
    """Reads every shard; returns what is wrong with those that are not as the manifest says."""
    listed = {entry.name: entry.size_bytes for entry in target.list()}
    with ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="shards") as pool:
        found = list(pool.map(lambda shard: _problem(target, shard, listed), manifest.shards))
    return [problem for problem in found if problem]


def _problem(target: storage.Folder, shard: Shard, listed: dict[str, int]) -> str:
    if shard.name not in listed:
        return f"{shard.name} is missing"
    if listed[shard.name] != shard.bytes:
        return f"{shard.name} has {listed[shard.name]} bytes, not {shard.bytes}"
    try:
        digest = hashlib.sha256(target.read(shard.name)).hexdigest()
    except storage.NotFound:
        return f"{shard.name} is missing"
    if digest != shard.sha256:
        return f"{shard.name} has SHA-256 {digest[:12]}…, not {shard.sha256[:12]}…"
    return ""


def _listing(source: Source) -> str | None:
    if not source.lists_cheaply:
        return None
    try:
        return listing_of(source.items())
    except CatganError as error:
        log.warning("cannot tell whether the source has changed: %s", error.what)
        return None


def _removal(target: storage.Folder) -> str:
    program = ["rm", "-r"] if target.is_local else ["gcloud", "storage", "rm", "-r"]
    return shlex.join([*program, target.address])


def refuse_foreign(target: storage.Folder) -> None:
    """Raises ConfigError where the address holds files that `prepare` did not write."""
    for entry in target.list():
        if not is_ours(entry.name):
            raise ConfigError(
                f"{target.address} is not empty and no data set: it holds {entry.name}",
                expected="an empty or new folder or prefix",
                remedy="give another address",
            )
