"""How fast pictures come: warm from disk, from memory, and cold from a bucket.

    python -m benchmarks.stream                    # drawn cats
    python -m benchmarks.stream --source cats.zip  # your own pictures
    python -m benchmarks.stream --write            # also results/stream.md

Three tables:
- *warm*: the shard stream against the textbook `TFRecordDataset` pipeline
  (parse, decode in parallel, batch, prefetch) over the same files with the same
  decode, both in the page cache. Rounds alternate; the ratio is the median of
  the rounds' ratios. To reach: 0.95 of the bare pipeline.
- *memory*: batches from decoded memory, in a process pinned to one core. To
  reach: 20,000 pictures/s at 128 px.
- *cold*: one epoch from a bucket server on this machine that answers each
  request after a pause, with nothing cached: `benchmarks/stream_cold.py`, beside
  webdataset and mosaicml-streaming. These need an environment of their own,
  since mosaicml-streaming wants an older google-cloud-storage than we do:

    python -m venv rivals && rivals/bin/pip install torch webdataset mosaicml-streaming
    python -m benchmarks.stream --rivals-python rivals/bin/python
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import stream_cold, timing

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

BATCH, LANES = 64, 16


def main() -> None:
    options = parse()
    if options.pinned:
        print(json.dumps(memory_speeds(options.pinned, options.rounds)))
        return
    with timing.Watch() as watch, tempfile.TemporaryDirectory() as temporary:
        parts = measured(options, Path(temporary))
    versions = timing.described("tensorflow", "numpy", "google-cloud-storage")
    what = f"Pictures: `{options.source}` at {options.size} px, batch {BATCH}, {LANES} lanes."
    text = "\n\n".join(["# The stream", versions, str(watch), what, *parts])
    print(text)
    if options.write:
        timing.write_result("stream", text)


def measured(options: argparse.Namespace, temporary: Path) -> list[str]:
    sets = {
        encoding: prepared(options.source, temporary / encoding, options.size, encoding)
        for encoding in options.encodings.split(",")
    }
    first = next(iter(sets.values()))
    return [
        "## Warm, from disk\n\n" + warm_table(sets, options.rounds),
        "## From decoded memory, one core\n\n" + memory_table(first, options.rounds),
        "## Cold, from a bucket\n\n" + stream_cold.cold_table(sets, options),
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="drawn:4096", help="anything `catgan prepare` takes")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--encodings", default="jpeg,png,raw")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--latency-ms", type=float, default=20.0, help="of the bucket's answers")
    parser.add_argument("--rivals-python", default=sys.executable)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--pinned", help=argparse.SUPPRESS)
    return parser.parse_args()


def prepared(source: str, folder: Path, size_px: int, encoding: str) -> Path:
    """Prepares a set without validation pictures and returns its folder."""
    from trainer.data.options import PrepareOptions
    from trainer.data.prepare import prepare

    options = PrepareOptions(size_px=size_px, encoding=encoding, val_fraction=0)
    prepare(source, str(folder), options)
    return folder


def opened(folder: Path, *, memory_mib: float):
    from trainer.data.stream import open_dataset

    return open_dataset(folder, cache_mib=1024, memory_mib=memory_mib, cache_dir=folder / "unused")


def pictures_per_sec(batches, steps: int) -> float:
    """Draws `steps` batches after a first one that is not counted."""
    iterator = iter(batches)
    next(iterator)
    begin = time.perf_counter()
    for _ in range(steps):
        next(iterator)
    return steps * BATCH / (time.perf_counter() - begin)


def bare_pipeline(source, folder: Path):
    """The textbook pipeline over the same files: no order, no lanes, no cache."""
    import tensorflow as tf

    from trainer.data.stream import READY_BATCHES
    from trainer.data.stream_decode import decoded_batches, decoder

    decode = decoder(source.manifest.encoding, source.size_px)
    features = {"image": tf.io.FixedLenFeature([], tf.string)}

    def picture(record):
        return decode(tf.io.parse_single_example(record, features)["image"])

    files = [str(folder / shard.name) for shard in source.manifest.split("train")]
    records = tf.data.TFRecordDataset(files).repeat()
    if source.manifest.encoding == "raw":
        # Our decode of raw pictures takes a whole batch; so does this one's.
        images = records.map(
            lambda record: tf.io.parse_single_example(record, features)["image"],
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return decoded_batches(images, "raw", source.size_px, BATCH).prefetch(READY_BATCHES)
    pictures = records.map(picture, num_parallel_calls=tf.data.AUTOTUNE)
    return pictures.batch(BATCH, drop_remainder=True).prefetch(READY_BATCHES)


def warm_table(sets: dict[str, Path], rounds: int) -> str:
    rows = []
    for encoding, folder in sets.items():
        source = opened(folder, memory_mib=0)
        steps = max(8, source.train_count // BATCH)
        ours, bare = [], []
        for _ in range(rounds):
            batches = source.batches(seed=0, global_batch=BATCH, lanes=LANES)
            ours.append(pictures_per_sec(batches, steps))
            bare.append(pictures_per_sec(bare_pipeline(source, folder), steps))
        ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
        rows.append(
            [
                encoding,
                f"{statistics.median(ours):,.0f}",
                f"{statistics.median(bare):,.0f}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
            ]
        )
    return timing.table(
        ["encoding", "ours, pictures/s", "bare, pictures/s", "ratio", "range"], rows
    )


def memory_table(folder: Path, rounds: int) -> str:
    command = [sys.executable, "-m", "benchmarks.stream"]
    command += ["--pinned", str(folder), "--rounds", str(rounds)]
    output = subprocess.run(
        command, cwd=stream_cold.ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    speeds = json.loads(output.splitlines()[-1])
    median = statistics.median(speeds)
    row = [f"{median:,.0f}", f"{min(speeds):,.0f} to {max(speeds):,.0f}"]
    return timing.table(["pictures/s", "range"], [row])


def memory_speeds(folder: str, rounds: int) -> list[float]:
    """Pictures a second from decoded memory, this process kept on one core."""
    # Before TensorFlow starts its threads, which inherit it.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    source = opened(Path(folder), memory_mib=2**20)
    batches = source.batches(seed=0, global_batch=BATCH, lanes=LANES)
    return [pictures_per_sec(batches, 500) for _ in range(rounds)]


if __name__ == "__main__":
    main()
