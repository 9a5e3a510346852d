"""What can be too small for the scenario of `scale.py`: each need beside what there is of it.

Owns the list, and what moves each. The formulas are `scale.py`'s, the page `scale_page.py`'s.
"""

from collections.abc import Sequence

from benchmarks import scale
from benchmarks.scale import Limit, Model, Scenario
from trainer import config as configs
from trainer.data.order import default_lanes
from trainer.data.prefetch import DOWNLOADS
from trainer.data.shards import MAX_SHARD_BYTES
from trainer.run_folder.folder import PROGRESS_SECS
from trainer.run_folder.holder import LEASE_SECS, RENEWALS
from trainer.storage.objects import PAGE_OBJECTS

MIB = 2**20
RENEW_SECS = LEASE_SECS / RENEWALS
# What Google's storage takes of writes to one and the same object.
OBJECT_WRITES_PER_SEC = 1.0


def limits(given: Scenario, of: Sequence[Model], shards: int) -> list[Limit]:
    """Returns all that can be too small, the fullest first."""
    found = [
        _all_reduce(given, of[0]),
        *_bucket(given),
        *_node(given),
        *_whole_set(given, shards),
        Limit(
            "writes of run.json, one object",
            1 / PROGRESS_SECS + 1 / RENEW_SECS,
            OBJECT_WRITES_PER_SEC,
            "a second",
            "does not grow with workers: one rank and one driver write",
        ),
    ]
    return sorted(found, key=lambda limit: -limit.load)


def lanes_a_worker(given: Scenario) -> int:
    """Returns how many lanes a worker reads, of as many as `catgan` would choose."""
    batch = given.workers * given.replica_batch
    return -(-default_lanes(batch, given.workers) // given.workers)


def _all_reduce(given: Scenario, model: Model) -> Limit:
    secs = scale.step_reduce_secs(model, given.workers, given.node_gbit_per_sec, given.hop_secs)
    return Limit(
        f"all-reduce of `{model.name}` beside the step's work",
        1e3 * secs,
        1e3 * given.replica_batch / given.pictures_per_sec,
        "ms",
        "a larger training.global_batch, faster links between nodes",
    )


def _bucket(given: Scenario) -> list[Limit]:
    """What all nodes together, and one download, ask of the bucket."""
    together = given.workers * given.pictures_per_sec
    stream = scale.needed_stream_bytes_per_sec(given.pictures_per_sec, given.picture_bytes)
    return [
        Limit(
            "the bucket, to all nodes",
            scale.gbit(together * given.picture_bytes),
            given.bucket_gbit_per_sec,
            "Gb/s",
            "prepare with --encoding jpeg; a higher quota",
        ),
        Limit(
            f"each of a worker's {DOWNLOADS} downloads",
            stream / 1e6,
            given.stream_mb_per_sec,
            "MB/s",
            "--encoding jpeg; more downloads at once (`DOWNLOADS`)",
        ),
        Limit(
            "shards asked of the bucket",
            scale.shard_reads_per_sec(together, given.picture_bytes, MAX_SHARD_BYTES),
            given.bucket_reads_per_sec,
            "a second",
            "the bucket scales by itself, within minutes",
        ),
    ]


def _node(given: Scenario) -> list[Limit]:
    """Cores, network and cache of one node, which its workers share."""
    workers = given.workers / given.nodes
    bytes_per_sec = workers * given.pictures_per_sec * given.picture_bytes
    least = scale.least_cache_bytes(workers, lanes_a_worker(given), MAX_SHARD_BYTES)
    return [
        Limit(
            "decoding",
            given.pictures_per_sec / given.decoded_per_core_per_sec,
            given.cores / workers,
            "cores a worker",
            "--encoding raw: no decoding, 1.6 times the bytes of PNG",
        ),
        Limit(
            "a node's network, for reading",
            scale.gbit(bytes_per_sec),
            given.node_gbit_per_sec,
            "Gb/s",
            "it also carries the all-reduce",
        ),
        Limit("cache of a node, at the least", least / MIB, given.cache_mib, "MiB", "cache_mib"),
    ]


def _whole_set(given: Scenario, shards: int) -> list[Limit]:
    """What grows with the number of shards: every worker opens the whole set."""
    return [
        Limit(
            "listing the shards when a worker opens the set",
            scale.listing_pages(shards, PAGE_OBJECTS) * given.page_secs,
            configs.Config().cluster.start_timeout_secs,
            "s",
            "cluster.start_timeout_secs",
        ),
        Limit(
            "memory for the manifest, read",
            shards * scale.manifest_entry_memory_bytes() / 1e9,
            given.worker_memory_gb,
            "GB a worker",
            "larger shards, which are part of a data set's format",
        ),
    ]
