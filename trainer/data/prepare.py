"""From a source of pictures to a data set."""

import hashlib
import io
from collections.abc import Callable

import PIL
from PIL import Image

from trainer import storage
from trainer.data.drawn import draw_cat
from trainer.data.options import PrepareOptions
from trainer.data.shards import (
    MANIFEST_NAME, Counts, Manifest, Resize, Shard, SourceInfo, fingerprint, frame, shard_name,
    write_example,
)
from trainer.data.tfds_files import metadata_files


def prepare(source: str, address: str, options: PrepareOptions | None = None,
            progress: Callable | None = None) -> Manifest:
    """Makes a data set; see the options. Returns its manifest."""
    options = options or PrepareOptions()
    count = int(source.split(":")[1])
    folder = storage.open_folder(address)
    shards: list[Shard] = []
    held = round(count * options.val_fraction)
    for split, names in (("train", range(held, count)), ("validation", range(held))):
        parts = 16 if len(names) >= 16 else min(1, len(names))
        for k in range(parts):
            out = []
            for i in names[len(names) * k // parts : len(names) * (k + 1) // parts]:
                pixels = draw_cat(i, 0, options.size_px)
                b = io.BytesIO()
                Image.fromarray(pixels).save(b, "png")
                data = pixels.tobytes() if options.encoding == "raw" else b.getvalue()
                out.append(frame(write_example(data, f"drawn-{i:06d}")))
            data = b"".join(out)
            name = shard_name(split, k, parts)
            folder.write(name, data)
            shards.append(Shard(name=name, split=split, records=len(out), bytes=len(data),
                                sha256=hashlib.sha256(data).hexdigest()))
    manifest = Manifest(
        size_px=options.size_px, encoding=options.encoding,
        resize=Resize(filter="box", library=f"pillow {PIL.__version__}"), crop=options.crop,
        source=SourceInfo(address=source), options=options.that_matter(),
        counts=Counts(train=count - held, validation=held), shards=shards,
        fingerprint=fingerprint(options.size_px, options.encoding, shards))
    for name, body in metadata_files(manifest).items():
        folder.write(name, body)
    folder.write(MANIFEST_NAME, manifest.to_json())
    return manifest
