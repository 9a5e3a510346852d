"""Peak memory of `prepare`, for a source and one ten times as large.

    python -m benchmarks.prepare_memory            # 2,700 and 27,000 pictures of each kind
    python -m benchmarks.prepare_memory --write    # also results/prepare_memory.md

Makes sources of small pictures in a temporary folder (folder, zip, tar.gz, drawn)
and prepares each in a process of its own. Each figure is the peak resident memory of
that process, or of the largest of its workers. Ten times the pictures need about
3 GB of disk and some minutes a kind.

The least count at which shards are as large as they get (8 MB) is 2,700; with
fewer, memory still grows up to the few shards that are held at a time.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import timing
from benchmarks.processes import ROOT

KINDS = ("folder", "zip", "tar.gz", "drawn")
SIZE_PX = 128


def main() -> None:
    options = parse()
    if options.measure:
        print(json.dumps(peaks_of_preparing(*options.measure, workers=options.workers)))
        return
    counts = (options.count, 10 * options.count)
    with timing.Watch() as watch:
        rows = [row(kind, counts, options.workers) for kind in options.kinds.split(",")]
    columns = [f"{who}, {count:,}" for who in ("main", "worker") for count in counts]
    columns = [*columns[:2], "ratio", *columns[2:], "ratio"]
    timing.publish(
        "prepare_memory",
        "Peak memory of prepare",
        ["numpy", "pillow", "opencv-python-headless"],
        watch.told_beside("memory"),
        f"{SIZE_PX} px, raw, duplicates left out, {options.workers} workers; MiB of the "
        "main process and of its largest worker, by the number of pictures.",
        timing.table(["source", *columns], rows),
        write=options.write,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2700, help="pictures of the smaller source")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def row(kind: str, counts: tuple[int, int], workers: int) -> list[str]:
    """Prepares both sources of one kind; returns a line of the table."""
    peaks = []
    for count in counts:
        print(f"{kind}, {count:,} pictures", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            source = make_source(kind, count, Path(temporary))
            peaks.append(measure(source, Path(temporary) / "set", workers))
    cells = [kind]
    for one, ten in zip(*peaks, strict=True):
        # One worker is the main process itself.
        cells += [f"{one:,.0f}", f"{ten:,.0f}", f"{ten / one:.2f}" if one else ""]
    return cells


def make_source(kind: str, count: int, folder: Path) -> str:
    """Writes a source and returns its address."""
    if kind == "drawn":
        return f"drawn:{count}"
    path = folder / f"source-{kind}"
    if kind == "folder":
        for name, data in pictures(count):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in pictures(count):
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in pictures(count):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return str(path)


def pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """Yields names and small JPEGs, each unlike the others."""
    for number in range(count):
        pixels = np.random.RandomState(number).randint(0, 256, (6, 6, 3), dtype=np.uint8)
        out = io.BytesIO()
        picture = Image.fromarray(pixels)
        picture.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC).save(out, "jpeg")
        yield f"{number // 1000:03d}/{number:06d}.jpg", out.getvalue()


def measure(source: str, target: Path, workers: int) -> tuple[float, float]:
    """Returns the peak memory of a fresh process and of its largest worker, in MiB."""
    command = [sys.executable, "-m", "benchmarks.prepare_memory", "--workers", str(workers)]
    command += ["--measure", source, str(target)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    own, worker = json.loads(done.stdout.splitlines()[-1])
    return own, worker


def peaks_of_preparing(source: str, target: str, workers: int) -> tuple[float, float]:
    """Prepares here; returns this process's peak memory and its largest worker's, in MiB."""
    from trainer.data.options import PrepareOptions
    from trainer.data.prepare import prepare

    options = PrepareOptions(size_px=SIZE_PX, encoding="raw", dedup=True, workers=workers)
    of_workers = [0.0]

    def look(status: object) -> None:
        of_workers[0] = max([*of_workers, *map(peak_mib, children())])

    prepare(source, target, options, look)
    return peak_mib("self"), of_workers[0]


def children() -> list[str]:
    """Returns the numbers of this process's children."""
    threads = Path("/proc/self/task").glob("*/children")
    return [pid for path in threads for pid in _text(path).split()]


def peak_mib(pid: str) -> float:
    """Returns the most resident memory of a process so far; 0 of one that has ended.

    Not from `getrusage`: there a process begins with what its parent had when it was started.
    """
    lines = [line.split() for line in _text(Path(f"/proc/{pid}/status")).splitlines()]
    return max((int(line[1]) / 1024 for line in lines if line[0] == "VmHWM:"), default=0.0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


if __name__ == "__main__":
    main()
