"""Bad data sets."""

import hashlib

from tests.cli.bad_input import bad, change_json, flip
from trainer import storage
from trainer.data.records import frame, write_example
from trainer.data.shards import fingerprint, read_manifest


@bad(3, "32 px", "dataset.size_px=64", "dataset.size_px=32")
def data_set_of_another_size(place):
    place.dataset()
    return ["train", "tiny.yaml", "dataset.size_px=64"]


@bad(3, "manifest.json", "prepare")
def data_set_with_a_broken_manifest(place):
    (place.dataset() / "manifest.json").write_text("{ no json")
    return ["train", "tiny.yaml"]


@bad(3, "format version 99", "at most 1", "update")
def data_set_of_a_newer_program(place):
    change_json(place.dataset() / "manifest.json", format_version=99)
    return ["train", "tiny.yaml"]


@bad(3, "catgan-dataset")
def data_set_of_another_program(place):
    place.file("datasets/tiny/manifest.json", '{"name": "package"}')
    return ["train", "tiny.yaml"]


@bad(3, "fingerprint")
def data_set_whose_manifest_was_edited(place):
    manifest = place.dataset() / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"size_px": 32', '"size_px": 64', 1))
    return ["train", "tiny.yaml", "dataset.size_px=64"]


@bad(3, "train-00007-of-00016.tfrecord")
def data_set_without_a_shard(place):
    (place.dataset() / "train-00007-of-00016.tfrecord").unlink()
    return ["train", "tiny.yaml"]


@bad(3, "train-00007-of-00016.tfrecord")
def data_set_with_a_cut_shard(place):
    path = place.dataset() / "train-00007-of-00016.tfrecord"
    path.write_bytes(path.read_bytes()[:-9])
    return ["train", "tiny.yaml"]


@bad(
    3,
    "train-00007-of-00016.tfrecord is damaged",
    "as the manifest says",
    "catgan prepare SOURCE",
    "catgan inspect",
    "goes on from the last checkpoint",
    found_late=True,
)
def data_set_with_a_flipped_bit(place):
    flip(place.dataset() / "train-00007-of-00016.tfrecord")
    return ["train", "tiny.yaml"]


@bad(3, "datasets/tiny", found_late=True)
def data_set_whose_record_is_no_picture(place):
    folder = place.dataset()
    path = folder / "train-00000-of-00016.tfrecord"
    manifest = read_manifest(storage.open_folder(folder))
    count = manifest.shards[0].records
    data = b"".join(frame(write_example(b"no picture", f"x{i}")) for i in range(count))
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    first = manifest.shards[0].model_copy(update={"bytes": len(data), "sha256": digest})
    shards = (first, *manifest.shards[1:])
    print_of = fingerprint(manifest.size_px, manifest.encoding, shards)
    changed = manifest.model_copy(update={"shards": shards, "fingerprint": print_of})
    (folder / "manifest.json").write_bytes(changed.to_json())
    return ["train", "tiny.yaml"]


@bad(3, "train-00007-of-00016.tfrecord")
def inspected_data_set_with_a_flipped_bit(place):
    flip(place.dataset() / "train-00007-of-00016.tfrecord")
    return ["inspect", "datasets/tiny"]
