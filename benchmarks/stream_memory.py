"""Peak memory of the stream, for a set and one ten times as large.

    python -m benchmarks.stream_memory            # 2,560 and 25,600 pictures
    python -m benchmarks.stream_memory --write    # also results/stream_memory.md

The smaller set already fills what the stream holds at once (two windows of two
shards of 8 MB in each of four lanes), so that any growth would be growth with
the set. Pictures are noise, stored raw: only their bytes matter here. Each
figure is the peak resident memory of one fresh process that streams an epoch
and a quarter. The bucket is served by a process of its own, and the cache
folder has room for a quarter of the smaller set.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import timing
from benchmarks.processes import ROOT
from benchmarks.stream_cold import serving

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SIZE_PX, BATCH, LANES = 128, 64, 4
SHARD_RECORDS = 160  # of 49 KB: shards of 7.9 MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=16, help="of the smaller set")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        stream_epoch(*options.measure)
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        return
    with timing.Watch() as watch:
        table = measured(options.shards)
    timing.publish(
        "stream_memory",
        "Peak memory",
        ["tensorflow", "numpy"],
        watch.told_beside("memory"),
        table,
        write=options.write,
    )


def measured(shards: int) -> str:
    rows: dict[str, list[float]] = {"from disk": [], "from a bucket": []}
    counts = (shards * SHARD_RECORDS, 10 * shards * SHARD_RECORDS)
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "set"
            size_bytes = write_noise(folder, count // SHARD_RECORDS)
            rows["from disk"].append(run(folder, temporary, 1024))
            with serving(Path(temporary) / "bucket") as endpoint:
                environment = {**os.environ, "STORAGE_EMULATOR_HOST": endpoint}
                upload(folder, endpoint)
                cache_mib = size_bytes / 2**20 * SHARD_RECORDS / count * max(3, shards / 4)
                address = "gs://test-bucket/set"
                rows["from a bucket"].append(
                    run(address, temporary, cache_mib, environment=environment)
                )
    cells = [
        [what, *(f"{mib:,.0f} MiB" for mib in peaks), f"{peaks[1] / peaks[0]:.2f}"]
        for what, peaks in rows.items()
    ]
    return timing.table(["", *(f"{count:,} pictures" for count in counts), "ratio"], cells)


def write_noise(folder: Path, count: int) -> int:
    """Writes a set of `count` shards, one at a time in memory; returns its bytes."""
    from trainer.data import shards as format_
    from trainer.data.shards import Counts, Manifest, Resize, Shard, SourceInfo

    folder.mkdir()
    rng, written = np.random.default_rng(0), []
    for number in range(count):
        images = (rng.bytes(SIZE_PX**2 * 3) for _ in range(SHARD_RECORDS))
        records = (format_.write_example(image, f"{k:06d}") for k, image in enumerate(images))
        data = b"".join(map(format_.frame, records))
        name = format_.shard_name("train", number, count)
        (folder / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        written.append(
            Shard(name=name, split="train", records=SHARD_RECORDS, bytes=len(data), sha256=digest)
        )
    manifest = Manifest(
        size_px=SIZE_PX,
        encoding="raw",
        resize=Resize(filter="none", library="none"),
        crop="none",
        source=SourceInfo(address="noise"),
        counts=Counts(train=count * SHARD_RECORDS, validation=0),
        shards=tuple(written),
        fingerprint=format_.fingerprint(SIZE_PX, "raw", written),
    )
    (folder / format_.MANIFEST_NAME).write_bytes(manifest.to_json())
    return sum(shard.bytes for shard in written)


def run(*arguments: object, environment: dict[str, str] | None = None) -> float:
    """Peak MiB of a fresh process that streams."""
    command = [sys.executable, "-m", "benchmarks.stream_memory", "--measure"]
    command += map(str, arguments)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def upload(folder: Path, endpoint: str) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = endpoint
    from trainer import storage

    bucket = storage.open_folder("gs://test-bucket/set")
    for path in sorted(folder.iterdir()):
        if path.is_file():
            bucket.upload(path.name, path)


def stream_epoch(address: str, temporary: str, cache_mib: str) -> None:
    from trainer.data.stream import open_dataset

    source = open_dataset(
        address,
        cache_mib=float(cache_mib),
        memory_mib=0,
        cache_dir=Path(temporary) / "cache",
    )
    # More than an epoch, so that everything has been read once.
    steps = source.train_count * 5 // 4 // BATCH
    for _ in source.batches(seed=0, global_batch=BATCH, lanes=LANES, steps=steps):
        pass


if __name__ == "__main__":
    main()
