"""What many workers and a large data set ask of network, bucket, cache and cores: on paper.

    python -m benchmarks.scale                 # 64 workers on 8 nodes, 10 TB of shards
    python -m benchmarks.scale --workers 8 --nodes 1 --dataset-tb 1
    python -m benchmarks.scale --write         # docs/scale.md

Nothing is timed here: formulas, their inputs, and what comes out. Sizes of this program (shards,
windows, intervals) are read from it; sizes of a model come from its config as in `catgan train
--dry-run`; the rest are assumptions, named as such, to be replaced by one's own (`--help`).
Owns the formulas; `scale_limits.py` compares, `scale_page.py` lays out.
"""

import argparse
import dataclasses
import json
import tracemalloc
from dataclasses import dataclass

from trainer.data.order import WINDOW_SHARDS
from trainer.data.prefetch import DOWNLOADS, MOST_AHEAD
from trainer.data.shards import MAX_SHARD_BYTES, Shard, shard_name

# Two calls a step, one for each network.
REDUCTIONS_A_STEP = 2


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """All inputs; every figure of the page is a function of these.

    Attributes:
        workers: Processes with a GPU each.
        nodes: Machines they are on, evenly.
        dataset_tb: Shards, in 10^12 bytes.
        picture_bytes: Mean of one record.
        pictures_per_sec: What one worker trains on.
        replica_batch: Pictures of a worker's step.
        node_gbit_per_sec: Network of one node, each way.
        bucket_gbit_per_sec: What the bucket gives to all nodes together.
        bucket_reads_per_sec: Read requests that a bucket takes from the start.
        stream_mb_per_sec: What one download gets, in 10^6 bytes.
        page_secs: One page of a listing.
        hop_secs: Latency of one message between two workers.
        cores: Of one node.
        decoded_per_core_per_sec: Pictures that one core decodes.
        cache_mib: `dataset.cache_mib`.
        checkpoint_secs: Between two checkpoints.
        worker_memory_gb: Host memory of one worker.
    """

    workers: int = 64
    nodes: int = 8
    dataset_tb: float = 10.0
    picture_bytes: float = 31_125.0
    pictures_per_sec: float = 16_000.0
    replica_batch: int = 64
    node_gbit_per_sec: float = 100.0
    bucket_gbit_per_sec: float = 200.0
    bucket_reads_per_sec: float = 5_000.0
    stream_mb_per_sec: float = 50.0
    page_secs: float = 0.1
    hop_secs: float = 10e-6
    cores: int = 96
    decoded_per_core_per_sec: float = 3_180.0
    cache_mib: int = 4096
    checkpoint_secs: float = 600.0
    worker_memory_gb: float = 64.0


@dataclass(frozen=True)
class Model:
    """What of a config travels.

    Attributes:
        name: Of the config.
        gradient_bytes: Of each network, float32.
        checkpoint_bytes: All tensors.
    """

    name: str
    gradient_bytes: tuple[int, int]
    checkpoint_bytes: int


def shard_count(dataset_bytes: float, shard_bytes: float = MAX_SHARD_BYTES) -> int:
    """Shards of a data set whose shards are as large as they get."""
    return -(-int(dataset_bytes) // int(shard_bytes))


def worker_epoch_bytes(dataset_bytes: float, workers: int) -> float:
    """Bytes that one worker reads in an epoch: its lanes' shards, each once."""
    return dataset_bytes / workers


def epoch_secs(dataset_bytes: float, picture_bytes: float, pictures_per_sec: float) -> float:
    """Length of an epoch.

    Args:
        dataset_bytes: Of all shards.
        picture_bytes: Mean of one record.
        pictures_per_sec: Of all workers together.
    """
    return dataset_bytes / picture_bytes / pictures_per_sec


def least_cache_bytes(workers_a_node: int, lanes_a_worker: int, shard_bytes: float) -> float:
    """Cache of a node below which reading stands still: each lane's window and the next one."""
    return workers_a_node * lanes_a_worker * 2 * WINDOW_SHARDS * shard_bytes


def full_cache_bytes(workers_a_node: int, lanes_a_worker: int, shard_bytes: float) -> float:
    """Cache of a node with which every worker runs as far ahead as it may."""
    inside = lanes_a_worker * WINDOW_SHARDS
    return workers_a_node * (inside + MOST_AHEAD) * shard_bytes


def shard_reads_per_sec(pictures_per_sec: float, picture_bytes: float, shard_bytes: float) -> float:
    """Read requests for shards: one for each, because a shard is read whole."""
    return pictures_per_sec * picture_bytes / shard_bytes


def needed_stream_bytes_per_sec(pictures_per_sec: float, picture_bytes: float) -> float:
    """What each of one worker's downloads must bring.

    Args:
        pictures_per_sec: Of the worker.
        picture_bytes: Mean of one record.
    """
    return pictures_per_sec * picture_bytes / DOWNLOADS


def gbit(bytes_per_sec: float) -> float:
    """10^9 bits a second."""
    return 8 * bytes_per_sec / 1e9


def ring_secs(payload_bytes: float, workers: int, gbit_per_sec: float, hop_secs: float) -> float:
    """One all-reduce over a ring.

    Each worker sends and receives 2 (n - 1) / n of the payload in 2 (n - 1) messages. Of a node's
    workers, which stand beside each other in the ring, only the last sends to another node, so
    the node's link carries what one worker sends.

    Args:
        payload_bytes: What each worker contributes.
        workers: n.
        gbit_per_sec: Of the slowest link.
        hop_secs: Latency of a message.
    """
    if workers == 1:
        return 0.0
    sent = 2 * (workers - 1) / workers * payload_bytes
    return gbit_secs(sent, gbit_per_sec) + 2 * (workers - 1) * hop_secs


def gbit_secs(payload_bytes: float, gbit_per_sec: float) -> float:
    """How long a link takes for a payload."""
    return 8 * payload_bytes / (gbit_per_sec * 1e9)


def step_reduce_secs(model: Model, workers: int, gbit_per_sec: float, hop_secs: float) -> float:
    """All-reduces of one step, nothing else going on meanwhile."""
    return sum(ring_secs(b, workers, gbit_per_sec, hop_secs) for b in model.gradient_bytes)


def restore_bytes(checkpoint_bytes: float, workers: int) -> float:
    """What a start reads of its checkpoint: every rank reads all of it."""
    return checkpoint_bytes * workers


def listing_pages(shards: int, page_objects: int) -> int:
    """Requests of one listing of a data set; every worker makes them when it opens it."""
    return -(-shards // page_objects)


def manifest_entry_bytes() -> int:
    """Text of one shard in `manifest.json`, of a set of more than a million."""
    name = shard_name("train", 1_000_000, 1_250_000)
    entry = Shard(name=name, split="train", records=257, bytes=8_000_000, sha256="0" * 64)
    one, two = (json.dumps({"shards": [entry.model_dump()] * n}, indent=1) for n in (1, 2))
    return len(two) - len(one)


def manifest_entry_memory_bytes(sample: int = 10_000) -> float:
    """Memory of one shard of a manifest that was read, measured on `sample` of them."""
    tracemalloc.start()
    try:
        held = [
            Shard(
                name=shard_name("train", n, sample),
                split="train",
                records=257,
                bytes=8_000_000 - n,
                sha256=f"{n:064x}",
            )
            for n in range(sample)
        ]
        return tracemalloc.get_traced_memory()[0] / len(held)
    finally:
        tracemalloc.stop()


@dataclass(frozen=True)
class Limit:
    """One thing that can be too small.

    Attributes:
        what: Of what.
        needed: With `unit`.
        there: The same, as assumed or built in.
        unit: Of both.
        remedy: What moves it.
    """

    what: str
    needed: float
    there: float
    unit: str
    remedy: str

    @property
    def load(self) -> float:
        """Part that is used; above 1 it breaks."""
        return self.needed / self.there


def main() -> None:
    from benchmarks import scale_page

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for field in dataclasses.fields(Scenario):
        kind = int if field.type is int else float
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=field.default)
    parser.add_argument("--write", action="store_true", help="docs/scale.md")
    given = vars(parser.parse_args())
    write = given.pop("write")
    text = scale_page.page(Scenario(**given))
    print(text)
    if write:
        scale_page.PAGE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
