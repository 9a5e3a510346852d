"""One epoch from a bucket with nothing cached: ours, webdataset, mosaicml-streaming.

All three read the very same encoded pictures from the same bucket server (a
process of its own, which waits a while before each answer, as a bucket does),
into shards of about the same size, shuffle in a window, decode with all cores
and give batches of 64 uint8 pictures. Each run is a fresh process with an
empty cache; the clock starts when the data set is opened, after imports, and
stops at the last batch of the epoch.

As fair as we know how:
- webdataset reads tars through its own HTTP way, a `curl` pipe for each shard
  (it has no client for Google's storage but `gsutil`), with a shuffle buffer of
  2,000 pictures and one DataLoader worker for each core;
- mosaicml-streaming reads its own format through its `gs://` downloader, with
  its default shuffle, prefetch and one DataLoader worker for each core;
  its downloader looks for real credentials even where an emulator is set, so
  it is handed a client with none;
- both decode with Pillow, as their documents do; ours decodes with TensorFlow.
What is not alike: only ours checks each shard's SHA-256 and has an order that
does not depend on the number of workers. A batch of that order takes from every
lane, so the first one waits for a window of each; the rivals' takes from the
first shard to arrive.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import ROOT

BATCH, LANES = 64, 16
SHARD_BYTES = 8_000_000
SUFFIX = {"jpeg": "jpg", "png": "png"}


def cold_table(sets: dict[str, Path], options: argparse.Namespace) -> str:
    """Runs all three in turn, `options.rounds` times at most 5; returns the table."""
    encoding = next((name for name in sets if name in SUFFIX), None)
    if encoding is None:
        return "Left out: neither a jpeg nor a png set was asked for."
    python = {"catgan": sys.executable}
    python |= dict.fromkeys(("webdataset", "mosaicml-streaming"), options.rivals_python)
    results: dict[str, list[dict]] = {name: [] for name in python}
    with tempfile.TemporaryDirectory() as temporary, serving(Path(temporary)) as endpoint:
        environment = {**os.environ, "STORAGE_EMULATOR_HOST": endpoint}
        count = upload(sets[encoding], encoding, endpoint, options.rivals_python, environment)
        pause(endpoint, options.latency_ms)
        for _ in range(min(options.rounds, 5)):
            for name, interpreter in python.items():
                results[name].append(one_run(name, interpreter, encoding, count, environment))
    rows = [row_of(name, runs) for name, runs in results.items()]
    note = f"{count} pictures ({encoding}), {options.latency_ms:g} ms before each answer."
    header = ["reader", "version", "epoch, s", "first batch, s", "pictures/s", "note"]
    return f"{note}\n\n{timing.table(header, rows)}"


def row_of(name: str, runs: list[dict]) -> list[str]:
    failed = [run["skipped"] for run in runs if "skipped" in run]
    if failed:
        return [name, "", "", "", "", f"left out: {failed[0]}"]
    epoch = statistics.median(run["epoch_secs"] for run in runs)
    first = statistics.median(run["first_secs"] for run in runs)
    speed = runs[0]["pictures"] / epoch
    return [name, runs[0]["version"], f"{epoch:.2f}", f"{first:.2f}", f"{speed:,.0f}", ""]


class serving:
    """The bucket server in a process of its own; gives its endpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "tests.fakes.bucket_server", "--root", str(self._folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)


def pause(endpoint: str, latency_ms: float) -> None:
    """Makes the server wait before each answer."""
    import urllib.request

    rule = json.dumps({"kind": "stall", "secs": latency_ms / 1000}).encode()
    urllib.request.urlopen(f"{endpoint}/faults", data=rule).close()


def encoded_pictures(folder: Path) -> Iterator[bytes]:
    """The encoded pictures of a set, in its order."""
    from trainer import storage
    from trainer.data.shards import read_example, read_frames, read_manifest

    opened = storage.open_folder(str(folder))
    for shard in read_manifest(opened).split("train"):
        for record in read_frames(opened.read(shard.name)):
            yield read_example(record)[0]


def upload(folder: Path, encoding: str, endpoint: str, python: str, environment: dict) -> int:
    """Puts the set into the bucket three times, once for each reader; returns its count."""
    os.environ["STORAGE_EMULATOR_HOST"] = endpoint
    from trainer import storage

    bucket = storage.open_folder("gs://test-bucket")
    for path in sorted(folder.glob("*")):
        bucket.upload(f"ours/{path.name}", path)
    shards = len(list(folder.glob("train-*")))
    with tempfile.TemporaryDirectory() as temporary:
        plain, tars, mosaic = (Path(temporary) / part for part in ("plain", "tars", "mosaic"))
        plain.mkdir()
        for number, image in enumerate(encoded_pictures(folder)):
            (plain / f"{number:08d}.{SUFFIX[encoding]}").write_bytes(image)
        pictures = sorted(plain.iterdir())
        write_tars(pictures, tars, shards)
        command = [python, "-m", "benchmarks.stream_cold", "write-mosaic"]
        command += [str(plain), str(mosaic)]
        subprocess.run(command, cwd=ROOT, env=environment, check=False, stderr=subprocess.DEVNULL)
        for where in (tars, mosaic):
            for path in sorted(where.glob("*")):
                bucket.upload(f"{where.name}/{path.name}", path)
        return len(pictures)


def write_tars(pictures: list[Path], folder: Path, shards: int) -> None:
    """Writes as many tars as we have shards, equal to within one picture."""
    folder.mkdir()
    for number in range(shards):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for path in pictures[number::shards]:
                info = tarfile.TarInfo(path.name)
                info.size = path.stat().st_size
                tar.addfile(info, io.BytesIO(path.read_bytes()))


def one_run(name: str, python: str, encoding: str, count: int, environment: dict) -> dict:
    """Runs one reader over one epoch in a fresh process."""
    with tempfile.TemporaryDirectory() as cache:
        command = [python, "-m", "benchmarks.stream_cold", name, cache, encoding, str(count)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
        return {"skipped": last[0][:120].replace("|", "/")}
    return json.loads(done.stdout.splitlines()[-1])


def drained(batches: Iterator, begin: float, count: int) -> dict:
    """Draws whole batches of one epoch and says how long that took."""
    seen, first = 0, 0.0
    for batch in batches:
        first = first or time.perf_counter() - begin
        seen += len(batch)
        if seen + BATCH > count:
            break
    return {"epoch_secs": time.perf_counter() - begin, "first_secs": first, "pictures": seen}


def read_ours(cache: str, encoding: str, count: int) -> dict:
    from trainer.data.stream import open_dataset

    begin = time.perf_counter()
    source = open_dataset(
        "gs://test-bucket/ours", cache_mib=1024, memory_mib=0, cache_dir=Path(cache)
    )
    batches = source.batches(seed=0, global_batch=BATCH, lanes=LANES).as_numpy_iterator()
    return {"version": "this", **drained(batches, begin, count)}


def read_webdataset(cache: str, encoding: str, count: int) -> dict:
    import numpy as np
    import torch
    import webdataset

    endpoint = os.environ["STORAGE_EMULATOR_HOST"]
    shards = shard_names(endpoint, "tars/")
    urls = [
        f"pipe:curl -s -f '{endpoint}/storage/v1/b/test-bucket/o/{name}?alt=media'"
        for name in shards
    ]
    begin = time.perf_counter()
    workers = len(os.sched_getaffinity(0))
    dataset = (
        webdataset.WebDataset(urls, shardshuffle=len(urls), empty_check=False)
        .shuffle(2000)
        .decode("rgb8")
        .to_tuple(SUFFIX[encoding])
        .map(lambda sample: sample[0])
        .batched(BATCH, collation_fn=lambda samples: torch.from_numpy(np.stack(samples)))
    )
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers)
    return {"version": webdataset.__version__, **drained(iter(loader), begin, count)}


def read_mosaic(cache: str, encoding: str, count: int) -> dict:
    import numpy as np
    import streaming
    import torch
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client
    from PIL import Image
    from streaming.base.storage.download import GCSDownloader

    def without_credentials(downloader):
        downloader._gcs_client = Client("project", AnonymousCredentials())

    class Pictures(streaming.StreamingDataset):
        def __getitem__(self, index):
            with Image.open(io.BytesIO(super().__getitem__(index)["image"])) as image:
                return torch.from_numpy(np.array(image.convert("RGB")))

    GCSDownloader._create_gcs_client = without_credentials
    begin = time.perf_counter()
    dataset = Pictures(
        remote="gs://test-bucket/mosaic", local=cache, shuffle=True, batch_size=BATCH
    )
    workers = len(os.sched_getaffinity(0))
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, num_workers=workers)
    return {"version": streaming.__version__, **drained(iter(loader), begin, count)}


def write_mosaic(source: str, target: str) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=target, columns={"image": "bytes"}, size_limit=SHARD_BYTES) as writer:
        for path in sorted(Path(source).iterdir()):
            writer.write({"image": path.read_bytes()})


def shard_names(endpoint: str, prefix: str) -> list[str]:
    """Names of the objects under a prefix, ready for a URL."""
    import urllib.parse
    import urllib.request

    with urllib.request.urlopen(f"{endpoint}/storage/v1/b/test-bucket/o?prefix={prefix}") as answer:
        items = json.loads(answer.read())["items"]
    return [urllib.parse.quote(item["name"], safe="") for item in items]


READERS = {"catgan": read_ours, "webdataset": read_webdataset, "mosaicml-streaming": read_mosaic}

if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "write-mosaic":
        write_mosaic(*arguments)
    else:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        cache_folder, kind, pictures = arguments
        print(json.dumps(READERS[what](cache_folder, kind, int(pictures))))
