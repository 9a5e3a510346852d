"""The page of `scale.py`: which figures are shown, in which order, in which words.

Owns tables and sentences. The formulas are `scale.py`'s, what can be too small `scale_limits.py`'s.
"""

import dataclasses
from collections.abc import Sequence

from benchmarks import scale
from benchmarks.processes import ROOT
from benchmarks.scale import Limit, Model, Scenario
from benchmarks.scale_limits import MIB, RENEW_SECS, lanes_a_worker, limits
from benchmarks.timing import table
from trainer import config as configs
from trainer.checkpoint.format import PART_BYTES
from trainer.data.order import WINDOW_SHARDS
from trainer.data.prefetch import MOST_AHEAD
from trainer.data.shards import MAX_SHARD_BYTES
from trainer.run_folder.folder import PROGRESS_SECS
from trainer.storage.objects import PAGE_OBJECTS

PAGE = ROOT / "docs" / "scale.md"
CONFIGS = ("cats128", "seed2018")
LINKS_GBIT = (10.0, 100.0, 400.0)
# As the defaults of `Scenario`, which are for PNG.
JPEG_BYTES, JPEG_DECODED_PER_SEC = 10_059.0, 4_430.0

_ASSUMED = {
    "picture_bytes": "mean record; 128 px cat faces as PNG (10,059 as JPEG), measured",
    "pictures_per_sec": "trained by one worker: a fast GPU at 128 px, assumed",
    "replica_batch": "pictures of a worker's step",
    "node_gbit_per_sec": "network of a node, each way, assumed",
    "bucket_gbit_per_sec": "from the bucket to all nodes, assumed; ask your provider",
    "bucket_reads_per_sec": "what a bucket takes before it scales (Google's guidelines)",
    "stream_mb_per_sec": "one download, assumed",
    "page_secs": "one page of a listing, assumed",
    "hop_secs": "a message between two workers, assumed",
    "cores": "of a node, assumed",
    "decoded_per_core_per_sec": "PNG at 128 px, half of what two cores read and decode in "
    "[stream](../benchmarks/results/stream.md)",
    "cache_mib": "the default of dataset.cache_mib",
    "checkpoint_secs": "between two checkpoints",
    "worker_memory_gb": "of host memory for each worker, assumed",
}


def models() -> list[Model]:
    """Returns what `catgan train --dry-run` says of each config."""
    from trainer.summary import summarise

    found = []
    for name in CONFIGS:
        summary = summarise(configs.load(ROOT / "configs" / f"{name}.yaml"))
        gradients = tuple(4 * network.trainable for network in summary.networks)
        found.append(Model(name, gradients, summary.checkpoint_bytes))
    return found


def page(given: Scenario, of: Sequence[Model] | None = None) -> str:
    """Returns the whole page, Markdown."""
    of = models() if of is None else of
    shards = scale.shard_count(given.dataset_tb * 1e12)
    parts = [
        f"# On paper: {given.workers} workers on {given.nodes} nodes, "
        f"{given.dataset_tb:g} TB of shards",
        "Made by `python -m benchmarks.scale --write`; every input is an option of that command, "
        "every formula a function in `benchmarks/scale.py`. **Nothing on this page was measured "
        "on such a cluster.**",
        "## Where it breaks first",
        _broken(limits(given, of, shards)),
        _with_jpeg(given, of, shards),
        "## What goes in",
        _inputs(given),
        "## Data",
        _data(given, shards),
        "## All-reduce",
        _reduce(given, of),
        "## Checkpoints and the run's own files",
        _checkpoints(given, of),
    ]
    return "\n\n".join(parts)


def _broken(found: Sequence[Limit]) -> str:
    over = [limit for limit in found if limit.load > 1]
    first = (
        f"{len(over)} of these are over what there is; first of all: {over[0].what}."
        if over
        else "None of these is over what there is."
    )
    rows = [
        [
            limit.what,
            *(f"{_figure(value)} {limit.unit}" for value in (limit.needed, limit.there)),
            f"**{limit.load:.2f}**" if limit.load > 1 else f"{limit.load:.2f}",
            limit.remedy,
        ]
        for limit in found
    ]
    return f"{first}\n\n{table(['what', 'needed', 'there', 'load', 'what moves it'], rows)}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _with_jpeg(given: Scenario, of: Sequence[Model], shards: int) -> str:
    """The two remedies that cost nothing but a setting."""
    mended = dataclasses.replace(
        given,
        picture_bytes=JPEG_BYTES,
        decoded_per_core_per_sec=JPEG_DECODED_PER_SEC,
        replica_batch=4 * given.replica_batch,
    )
    first = limits(mended, of, shards)[0]
    return (
        f"With JPEG records and {mended.replica_batch} pictures a worker the fullest is: "
        f"{first.what}, load {first.load:.2f}. (The same 10^12 bytes then hold three times the "
        "pictures; a batch four times as large is another recipe, whose pictures nobody here "
        "has compared.)"
    )


def _inputs(given: Scenario) -> str:
    rows = [[f"`{name}`", f"{getattr(given, name):,g}", text] for name, text in _ASSUMED.items()]
    return table(["input", "value", "what it is, and where from"], rows)


def _data(given: Scenario, shards: int) -> str:
    size = given.dataset_tb * 1e12
    together = given.workers * given.pictures_per_sec
    lanes, a_node = lanes_a_worker(given), given.workers / given.nodes
    full = scale.full_cache_bytes(a_node, lanes, MAX_SHARD_BYTES)
    pages = scale.listing_pages(shards, PAGE_OBJECTS)
    entries = shards * scale.manifest_entry_bytes()
    rows = [
        ["pictures", f"{size / given.picture_bytes / 1e6:,.0f} million"],
        [f"shards of {MAX_SHARD_BYTES / 1e6:g} MB", f"{shards:,}"],
        ["an epoch", f"{scale.epoch_secs(size, given.picture_bytes, together) / 60:,.1f} min"],
        [
            "read by each worker in an epoch",
            f"{scale.worker_epoch_bytes(size, given.workers) / 1e9:,.0f} GB: its lanes' shards, "
            "each once",
        ],
        ["read by each node", f"{scale.worker_epoch_bytes(size, given.nodes) / 1e12:,.2f} TB"],
        [
            "cache that runs as far ahead as it may",
            f"{full / MIB:,.0f} MiB a node: {lanes} lane a worker with {WINDOW_SHARDS} shards "
            f"each, and {MOST_AHEAD} shards ahead",
        ],
        [
            "cache that saves a second download",
            f"{given.dataset_tb:g} TB a node: shards are dealt anew in every epoch. "
            "What lies between saves its own share of downloads only",
        ],
        ["`manifest.json`", f"{entries / 1e6:,.0f} MB, read by every worker"],
        [
            "requests to open the set",
            f"{pages:,} pages of a listing a worker, {given.workers * pages:,} in all",
        ],
    ]
    return table(["", ""], rows)


def _reduce(given: Scenario, of: Sequence[Model]) -> str:
    compute_ms = 1e3 * given.replica_batch / given.pictures_per_sec
    rows = []
    for model in of:
        for workers in dict.fromkeys((8, given.workers)):
            cells = [
                f"{1e3 * scale.step_reduce_secs(model, workers, link, given.hop_secs):.1f}"
                for link in LINKS_GBIT
            ]
            size = sum(model.gradient_bytes) / 1e6
            rows.append([f"`{model.name}`", f"{size:,.1f}", workers, *cells])
    links = [f"ms at {link:g} Gb/s" for link in LINKS_GBIT]
    text = table(["config", "gradients, MB", "workers", *links], rows)
    return (
        "Float32 gradients, one call for each network, ring: 2 (n − 1) / n of the bytes over the "
        f"slowest link, and 2 (n − 1) messages of {1e6 * given.hop_secs:g} µs. Without the "
        "messages, 166 MB between 8 workers take "
        f"{1e3 * scale.ring_secs(166e6, 8, 100, 0):.0f} ms at 100 Gb/s. A step's own work takes "
        f"{compute_ms:.1f} ms at {given.pictures_per_sec:,.0f} pictures/s and {given.replica_batch}"
        f" pictures a worker. That it overlaps with the work is not counted.\n\n{text}"
    )


def _checkpoints(given: Scenario, of: Sequence[Model]) -> str:
    rows = []
    for model in of:
        total = scale.restore_bytes(model.checkpoint_bytes, given.workers)
        parts = -(-model.checkpoint_bytes // PART_BYTES)
        rows.append(
            [
                f"`{model.name}`",
                f"{model.checkpoint_bytes / 1e6:,.0f} MB in {parts} parts",
                f"{8 * model.checkpoint_bytes / given.checkpoint_secs / 1e6:,.1f} Mb/s",
                f"{total / 1e9:,.1f} GB",
                f"{scale.gbit_secs(total, given.bucket_gbit_per_sec):,.2f} s",
            ]
        )
    header = ["config", "a checkpoint", "written, mean", "read at a start", "by the bucket in"]
    return (
        f"{table(header, rows)}\n\nOne rank writes, every {given.checkpoint_secs:,.0f} s here; "
        "every rank reads the whole checkpoint at a start. `run.json` is written every "
        f"{PROGRESS_SECS:g} s by rank 0 and every {RENEW_SECS:g} s by the driver that holds the "
        "run, whatever the number of workers."
    )
