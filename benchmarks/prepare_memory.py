"""Peak memory of `prepare` at 1x and 10x the pictures: it must not grow with them.

    python benchmarks/prepare_memory.py [--count 2700] [--workers 2] [--kinds folder zip …]

Makes sources of small pictures in a temporary folder (folder, zip, tar.gz, drawn),
prepares each in a process of its own and prints the peak resident memory of that
process and of its largest worker, with versions and load beside it. 10x needs
about 3 GB of disk and several minutes a kind.

The least count at which shards are as large as they get (8 MB) is 2,700; with
fewer, memory still grows up to the few shards that are held at a time.
"""

import argparse
import io
import os
import platform
import resource
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from trainer import __version__
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare

KINDS = ("folder", "zip", "tar.gz", "drawn")


def picture(number: int) -> bytes:
    """A small JPEG that is unlike the others."""
    pixels = np.random.RandomState(number).randint(0, 256, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC).save(out, "jpeg")
    return out.getvalue()


def make_source(kind: str, count: int, folder: Path) -> str:
    """Writes a source and returns its address."""
    if kind == "drawn":
        return f"drawn:{count}"
    path = folder / f"source-{kind}-{count}"
    files = ((f"{k // 1000:03d}/{k:06d}.jpg", picture(k)) for k in range(count))
    if kind == "folder":
        for name, data in files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files:
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in files:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return str(path)


def measure(source: str, target: Path, workers: int) -> tuple[float, float]:
    """Returns the peak memory of the process and of its largest worker, in MiB."""
    command = [sys.executable, __file__, "--child", source, str(target), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    own, worker = (int(word) / 1024 for word in done.stdout.split())
    return own, worker


def child(source: str, target: str, workers: str) -> None:
    """Prepares, and prints its own and its workers' peak memory in KiB."""
    prepare(
        source,
        target,
        PrepareOptions(size_px=128, encoding="raw", dedup=True, workers=int(workers)),
    )
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2700, help="pictures at 1x")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    arguments = parser.parse_args()
    print(
        f"catgan {__version__}, Python {platform.python_version()}, Pillow {PIL.__version__}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
        f"{arguments.count:,} and {10 * arguments.count:,} pictures, {arguments.workers} workers; "
        "peak resident memory in MiB\n"
    )
    print(
        f"{'source':<8} {'main 1x':>8} {'main 10x':>9} {'ratio':>6} {'worker 1x':>10} "
        f"{'worker 10x':>11} {'ratio':>6}"
    )
    for kind in arguments.kinds:
        figures = []
        for factor in (1, 10):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                source = make_source(kind, factor * arguments.count, folder)
                figures.append(measure(source, folder / "set", arguments.workers))
        (own, worker), (own10, worker10) = figures
        print(
            f"{kind:<8} {own:8.1f} {own10:9.1f} {own10 / own:6.2f} {worker:10.1f} "
            f"{worker10:11.1f} {worker10 / worker:6.2f}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
