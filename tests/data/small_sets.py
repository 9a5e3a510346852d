"""Data sets written in milliseconds: noise pictures in a few small shards."""

import hashlib
import io

import numpy as np
from PIL import Image

from trainer import storage
from trainer.data import shards as shards_module
from trainer.data.shards import Counts, Manifest, Resize, Shard, SourceInfo, shard_name


def noise(count, size_px, seed=0):
    """uint8 `[count, size_px, size_px, 3]`; JPEG keeps it only roughly."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size_px // 4, size_px // 4, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def encoded(picture, encoding):
    if encoding == "raw":
        return picture.tobytes()
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, encoding.upper())
    return stream.getvalue()


def write_set(address, pictures, *, shards=16, encoding="png", validation=0) -> Manifest:
    """Writes a data set; the last `validation` pictures are the validation split."""
    folder = storage.open_folder(str(address))
    count, size_px = len(pictures) - validation, pictures.shape[1]
    written = []
    for split, part, number in (
        ("train", pictures[:count], min(shards, count)),
        ("validation", pictures[count:], min(1, validation)),
    ):
        for index, indices in enumerate(np.array_split(np.arange(len(part)), number or 1)):
            if len(indices) == 0:
                continue
            data = b"".join(
                shards_module.frame(
                    shards_module.write_example(encoded(part[i], encoding), f"{split}-{i}")
                )
                for i in indices
            )
            name = shard_name(split, index, number)
            folder.write(name, data)
            digest = hashlib.sha256(data).hexdigest()
            written.append(
                Shard(name=name, split=split, records=len(indices), bytes=len(data), sha256=digest)
            )
    manifest = Manifest(
        size_px=size_px,
        encoding=encoding,
        resize=Resize(filter="none", library="none"),
        crop="none",
        source=SourceInfo(address="noise"),
        counts=Counts(train=count, validation=validation),
        shards=tuple(written),
        fingerprint=shards_module.fingerprint(size_px, encoding, written),
    )
    folder.write(shards_module.MANIFEST_NAME, manifest.to_json())
    return manifest
