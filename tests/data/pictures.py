"""Small sources of pictures for tests: the same pictures as folder, zip or tar."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from trainer import storage
from trainer.data.records import read_example, read_frames
from trainer.data.shards import Manifest


def noise(seed: int, width: int = 24, height: int = 24) -> bytes:
    """A PNG that is unlike any other's."""
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def pictures(count: int) -> dict[str, bytes]:
    """Files by name, some of them in folders."""
    return {f"{'deep/er/' if k % 3 else ''}cat {k:03d}.png": noise(k) for k in range(count)}


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def contents(address: object, manifest: Manifest) -> dict[str, bytes]:
    """Pictures of a data set by id."""
    folder = storage.open_folder(address)
    records = [
        read_example(record)
        for shard in manifest.shards
        for record in read_frames(folder.read(shard.name))
    ]
    assert len({name for _, name in records}) == len(records)
    return {name: image for image, name in records}
