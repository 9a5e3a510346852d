"""The two metadata files that let TensorFlow Datasets open a data set.

Owns `features.json` and `dataset_info.json`. They are written from templates,
because importing tensorflow-datasets takes seconds; a test opens the result
with plain `tfds.builder_from_directory`.
"""

import json
from typing import Any

from trainer.data.shards import SPLITS, Manifest

FEATURES_NAME = "features.json"
INFO_NAME = "dataset_info.json"
_FEATURES = "tensorflow_datasets.core.features."


def metadata_files(manifest: Manifest) -> dict[str, bytes]:
    """Returns the files by name, to be written beside the shards."""
    files = {FEATURES_NAME: _features(manifest), INFO_NAME: _info(manifest)}
    return {name: (json.dumps(body, indent=1) + "\n").encode() for name, body in files.items()}


def _features(manifest: Manifest) -> dict[str, Any]:
    shape = {"dimensions": [str(manifest.size_px)] * 2 + ["3"]}
    if manifest.encoding == "raw":
        image = {
            "pythonClassName": _FEATURES + "tensor_feature.Tensor",
            "tensor": {"shape": shape, "dtype": "uint8", "encoding": "bytes"},
        }
    else:
        image = {
            "pythonClassName": _FEATURES + "image_feature.Image",
            "image": {"shape": shape, "dtype": "uint8", "encodingFormat": manifest.encoding},
        }
    text = {"pythonClassName": _FEATURES + "text_feature.Text", "text": {}}
    return {
        "pythonClassName": _FEATURES + "features_dict.FeaturesDict",
        "featuresDict": {"features": {"id": text, "image": image}},
    }


def _info(manifest: Manifest) -> dict[str, Any]:
    splits = [
        {
            "name": split,
            "filepathTemplate": "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}",
            "shardLengths": [str(shard.records) for shard in manifest.split(split)],
            "numBytes": str(sum(shard.bytes for shard in manifest.split(split))),
        }
        for split in SPLITS
        if manifest.split(split)
    ]
    return {
        "name": "catgan_pictures",
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "description": f"{manifest.size_px} px pictures prepared by catgan.",
        "splits": splits,
    }
