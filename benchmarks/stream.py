"""How fast pictures come: warm from disk, from memory, and cold from a bucket.

    python -m benchmarks.stream                    # drawn cats
    python -m benchmarks.stream --source cats.zip  # your own pictures
    python -m benchmarks.stream --write            # also results/stream.md

Three tables:
- *warm*: the shard stream against the textbook `TFRecordDataset` pipeline
  (parse, decode in parallel, batch, prefetch) over the same files with the same
  decode, both in the page cache. Rounds alternate, several epochs each; the
  ratio is the median of the rounds' ratios. To reach: 0.95 of the bare pipeline.
  The first batch, which waits for a window of every lane, is timed apart.
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
from benchmarks.processes import ROOT
from benchmarks.stream_cold import BATCH, LANES

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# Reading runs a window of every lane ahead; over one epoch that would count double.
EPOCHS = 4


def main() -> None:
    options = parse()
    if options.pinned:
        print(json.dumps(memory_speeds(options.pinned, options.rounds)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.sets or temporary)
        sets = {
            encoding: prepared(options.source, folder / encoding, options.size, encoding)
            for encoding in options.encodings.split(",")
        }
        with timing.Watch() as watch:
            parts = measured(sets, options)
    timing.publish(
        "stream",
        "The stream",
        ["tensorflow", "numpy", "google-cloud-storage"],
        watch,
        f"Pictures: `{options.source}` at {options.size} px, batch {BATCH}, {LANES} lanes.",
        *parts,
        write=options.write,
    )


def measured(sets: dict[str, Path], options: argparse.Namespace) -> list[str]:
    first = next(iter(sets.values()))
    return [
        f"## Warm, from disk, {EPOCHS} epochs a round\n\n" + warm_table(sets, options.rounds),
        "## From decoded memory, one core\n\n" + memory_table(first, options.rounds),
        "## Cold, from a bucket\n\n" + stream_cold.cold_table(sets, options),
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="drawn:8192", help="anything `catgan prepare` takes")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--encodings", default="jpeg,png,raw")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--latency-ms", type=float, default=20.0, help="of the bucket's answers")
    parser.add_argument("--sets", help="folder in which the prepared sets stay for the next time")
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


def speed_of(batches, steps: int) -> tuple[float, float]:
    """Returns the pictures a second of `steps` batches, and the seconds to the one before them."""
    asked = time.perf_counter()
    iterator = iter(batches)
    next(iterator)
    begin = time.perf_counter()
    for _ in range(steps):
        next(iterator)
    return steps * BATCH / (time.perf_counter() - begin), begin - asked


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
        steps = max(8, EPOCHS * source.train_count // BATCH)
        ours, bare = [], []
        for _ in range(rounds):
            batches = source.batches(seed=0, global_batch=BATCH, lanes=LANES)
            ours.append(speed_of(batches, steps))
            bare.append(speed_of(bare_pipeline(source, folder), steps))
        rows.append([encoding, *compared(ours, bare)])
    header = ["encoding", "ours, pictures/s", "bare, pictures/s", "ratio", "range"]
    return timing.table([*header, "ours, first batch, s", "bare, first batch, s"], rows)


def compared(ours: list[tuple[float, float]], bare: list[tuple[float, float]]) -> list[str]:
    """Returns medians of speeds, of their ratios, and of the first batches' times."""
    speeds = [[speed for speed, _ in each] for each in (ours, bare)]
    firsts = [[first for _, first in each] for each in (ours, bare)]
    ratios = [mine / theirs for mine, theirs in zip(*speeds, strict=True)]
    return [
        *(f"{statistics.median(each):,.0f}" for each in speeds),
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        *(f"{statistics.median(each):.2f}" for each in firsts),
    ]


def memory_table(folder: Path, rounds: int) -> str:
    command = [sys.executable, "-m", "benchmarks.stream"]
    command += ["--pinned", str(folder), "--rounds", str(rounds)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    speeds = json.loads(done.stdout.splitlines()[-1])
    median = statistics.median(speeds)
    row = [f"{median:,.0f}", f"{min(speeds):,.0f} to {max(speeds):,.0f}"]
    return timing.table(["pictures/s", "range"], [row])


def memory_speeds(folder: str, rounds: int) -> list[float]:
    """Pictures a second from decoded memory, this process kept on one core."""
    # Before TensorFlow starts its threads, which inherit it.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    source = opened(Path(folder), memory_mib=2**20)
    batches = source.batches(seed=0, global_batch=BATCH, lanes=LANES)
    return [speed_of(batches, 500)[0] for _ in range(rounds)]


if __name__ == "__main__":
    main()
