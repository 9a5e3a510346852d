"""Data sets that tests prepare: how small, and what is in them."""

import json

from trainer.data.options import PrepareOptions
from trainer.data.shards import MANIFEST_NAME

SMALL = PrepareOptions(size_px=16, workers=1)


def files_of(folder):
    """Returns all bytes of a data set but the manifest's own address of its source."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(found.pop(MANIFEST_NAME))
    del manifest["source"]
    return found, manifest


def rejected(folder):
    """Returns the lines of the list of what was left out, by name."""
    lines = (folder / "rejected.jsonl").read_text().splitlines()
    return {line["id"]: line for line in map(json.loads, lines)}
