"""Kinds of bad input: what is done wrong, and what the program must say.

Each kind is a function that spoils something in a folder and returns the
command's arguments. The test is in `test_bad_input`.
"""

import gzip
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainer import storage
from trainer.data.records import frame, write_example
from trainer.data.shards import fingerprint, read_manifest


@dataclass(frozen=True)
class Kind:
    """One kind of bad input.

    Attributes:
        spoil: Makes it, and returns the arguments of `catgan`.
        code: Exit code.
        parts: What standard error must hold.
        found_late: A run may have begun: only reading every picture shows it.
    """

    spoil: Callable
    code: int
    parts: tuple[str, ...]
    found_late: bool = False


KINDS: dict[str, Kind] = {}


def bad(code, *parts, found_late=False):
    """Adds a kind of bad input to the list."""

    def add(spoil):
        KINDS[spoil.__name__] = Kind(spoil, code, parts, found_late)
        return spoil

    return add


@dataclass(frozen=True)
class Place:
    """The folder a command runs in: `tiny.yaml`, and on request a finished run.

    Attributes:
        folder: Empty but for `tiny.yaml`.
        trained: Holds `runs/tiny` and `datasets/tiny`; not to be changed.
    """

    folder: Path
    trained: Path

    def run(self) -> Path:
        """Copies the finished run here."""
        return shutil.copytree(self.trained / "runs/tiny", self.folder / "runs/tiny")

    def dataset(self) -> Path:
        """Copies the data set here, where tiny.yaml expects it."""
        return shutil.copytree(self.trained / "datasets/tiny", self.folder / "datasets/tiny")

    def file(self, name: str, content: str | bytes = "") -> Path:
        """Writes a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def picture(self, name: str, width: int = 40, height: int = 40) -> Path:
        """Writes a PNG."""
        stream = io.BytesIO()
        noise = np.random.default_rng(len(name)).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(stream, "png")
        return self.file(name, stream.getvalue())


def flip(path, at=-50):
    """Flips one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def change_json(path, **changes):
    """Changes fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# Configs.


@bad(2, "cats46.yaml", "did you mean", "cats64.yaml")
def config_missing(place):
    place.file("cats64.yaml")
    return ["train", "cats46.yaml"]


@bad(2, "is a folder", "--pictures", "catgan resume")
def config_is_a_folder(place):
    (place.folder / "cats").mkdir()
    return ["train", "cats"]


@bad(2, "not UTF-8", "byte 0")
def config_is_a_picture(place):
    place.picture("cat.png")
    return ["train", "cat.png"]


@bad(2, "not valid YAML", "line")
def config_is_no_yaml(place):
    place.file("x.yaml", "training:\n  steps: [1\n")
    return ["train", "x.yaml"]


@bad(2, "training.stepz", "training.steps")
def config_key_unknown(place):
    place.file("x.yaml", "training: {stepz: 5}")
    return ["train", "x.yaml"]


@bad(2, "seed", "stands twice", "line 2")
def config_key_twice(place):
    place.file("x.yaml", "seed: 1\nseed: 2")
    return ["train", "x.yaml"]


@bad(2, "alias", "line 2")
def config_with_an_alias_bomb(place):
    place.file("x.yaml", "a: &a [x, x]\nb: [*a, *a]\n")
    return ["train", "x.yaml"]


@bad(2, "training.steps=0", "greater than or equal to 1")
def override_out_of_range(place):
    return ["train", "tiny.yaml", "training.steps=0"]


@bad(2, "precision='half'", "'float16'")
def override_of_another_kind(place):
    return ["train", "tiny.yaml", "precision=half"]


@bad(2, "'training.steps'", "key=value")
def override_without_a_value(place):
    return ["train", "tiny.yaml", "training.steps", "5"]


@bad(2, "seed=1", "the config first")
def override_before_the_config(place):
    return ["train", "seed=1", "tiny.yaml"]


@bad(2, "dataset.lanes=3", "training.global_batch=8", "dataset.lanes=2")
def lanes_that_do_not_divide(place):
    return ["train", "tiny.yaml", "dataset.lanes=3"]


@bad(2, "dataset.size_px=48", "power of two")
def size_that_networks_cannot_have(place):
    return ["train", "tiny.yaml", "dataset.size_px=48"]


@bad(2, "micro_batch=4", "batch norm")
def micro_batch_with_batch_norm(place):
    return ["train", "tiny.yaml", "training.micro_batch=4", "model.generator_norm=batch"]


@bad(2, "label_smoothing=0.1", "relativistic_pairing", "loss.label_smoothing=0")
def smoothing_of_another_loss(place):
    return ["train", "tiny.yaml", "loss.label_smoothing=0.1"]


@bad(2, "nowhere.txt/log", "log.file")
def log_file_that_cannot_be(place):
    place.file("nowhere.txt")
    return ["train", "tiny.yaml", "log.file=nowhere.txt/log"]


@bad(2, "CONFIG", "--pictures")
def train_without_anything(place):
    return ["train"]


@bad(2, "--crop", "dataset.crop")
def crop_of_a_config(place):
    return ["train", "tiny.yaml", "--crop", "face"]


@bad(2, "tiny.yaml", "--pictures", "dataset.source")
def pictures_and_a_config(place):
    return ["train", "--pictures", ".", "tiny.yaml"]


# Addresses.


@bad(2, "s3://", "gs://bucket/prefix")
def address_of_another_cloud(place):
    return ["train", "tiny.yaml", "run=s3://bucket/runs/x"]


@bad(2, "UPPER", "gs://bucket/prefix")
def bucket_name_that_cannot_be(place):
    return ["train", "tiny.yaml", "run=gs://UPPER/x"]


@bad(2, "not an address")
def address_that_is_empty(place):
    return ["train", "tiny.yaml", "run=''"]


@bad(4, "plain.txt")
def run_that_is_a_file(place):
    place.file("plain.txt", "x")
    return ["train", "tiny.yaml", "run=plain.txt"]


@bad(4, "plain.txt")
def run_inside_a_file(place):
    place.file("plain.txt", "x")
    return ["train", "tiny.yaml", "run=plain.txt/run"]


@bad(2, "https://", "bucket")
def source_on_the_web(place):
    return ["prepare", "https://example.com/cats.zip", "set"]


@bad(3, "nothing/train", "prepare")
def data_set_missing_without_a_source(place):
    return ["train", "tiny.yaml", "dataset.source=", "dataset.address=nothing/train"]


# Data sets.


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


@bad(3, "train-00007-of-00016.tfrecord", found_late=True)
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


# Sources, pictures, archives.


@bad(3, "kats", "cats")
def source_missing(place):
    (place.folder / "cats").mkdir()
    return ["prepare", "kats", "set"]


@bad(3, "no pictures")
def source_empty(place):
    (place.folder / "cats").mkdir()
    return ["prepare", "cats", "set"]


@bad(3, "no pictures", "2 other files")
def source_without_pictures(place):
    place.file("cats/a.txt", "x")
    place.file("cats/b.csv", "x")
    return ["prepare", "cats", "set"]


@bad(3, "smaller than asked for", "--size 32")
def pictures_too_small(place):
    place.picture("cats/a.png")
    return ["prepare", "cats", "set", "--size", "64"]


@bad(3, "not square", "--crop center")
def pictures_not_square(place):
    place.picture("cats/a.png", width=70)
    return ["prepare", "cats", "set", "--size", "32", "--crop", "none"]


@bad(3, "no landmarks", ".cat")
def pictures_without_landmarks(place):
    place.picture("cats/a.png")
    return ["prepare", "cats", "set", "--size", "32", "--crop", "landmarks"]


@bad(3, "1 empty file", "1 text in place of a picture")
def pictures_that_are_none(place):
    place.file("cats/a.jpg")
    place.file("cats/b.jpg", "<!DOCTYPE html><html><body>404</body></html>")
    return ["prepare", "cats", "set"]


@bad(3, "cut short")
def picture_cut_short(place):
    path = place.picture("cats/a.png", 64, 64)
    path.write_bytes(path.read_bytes()[:2000])
    return ["prepare", "cats", "set", "--size", "32"]


@bad(3, "too many pixels")
def picture_that_is_a_bomb(place):
    stream = io.BytesIO()
    Image.new("1", (11_000, 11_000)).save(stream, "png")
    place.file("cats/a.png", stream.getvalue())
    return ["prepare", "cats", "set"]


@bad(3, "cats.zip", "neither a zip nor a tar")
def archive_that_is_none(place):
    place.file("cats.zip", "PK, nearly")
    return ["prepare", "cats.zip", "set"]


@bad(3, "cats.zip")
def archive_cut_short(place):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.write(place.picture("a.png"), "a.png")
    place.file("cats.zip", stream.getvalue()[:-30])
    return ["prepare", "cats.zip", "set"]


@bad(3, "cats.tar.gz")
def archive_with_a_broken_stream(place):
    place.file("cats.tar.gz", gzip.compress(bytes(10_000))[:-20])
    return ["prepare", "cats.tar.gz", "set"]


@bad(2, "drawn:many")
def drawn_cats_without_a_number(place):
    return ["prepare", "drawn:many", "set"]


@bad(2, "4", "8 to 1024", "--size 64")
def prepared_size_out_of_range(place):
    return ["prepare", "drawn:9", "set", "--size", "4"]


@bad(2, "0.9", "--val-fraction 0.05")
def everything_held_out(place):
    return ["prepare", "drawn:9", "set", "--val-fraction", "0.9"]


@bad(2, "gone.txt")
def exclude_list_missing(place):
    return ["prepare", "drawn:9", "set", "--exclude", "gone.txt"]


@bad(2, "workers is 0")
def no_workers(place):
    return ["prepare", "drawn:9", "set", "--workers", "0"]


@bad(2, "a folder of its own")
def data_set_on_top_of_its_source(place):
    place.picture("cats/a.png")
    return ["prepare", "cats", "cats", "--size", "32"]


@bad(2, "datasets/tiny")
def data_set_over_another(place):
    place.dataset()
    return ["prepare", "drawn:9", "datasets/tiny", "--size", "32"]


@bad(3, "no pictures")
def bare_pictures_without_any(place):
    place.file("cats/a.txt", "x")
    return ["train", "--pictures", "cats"]


@bad(3, "too small", "7 px", "at least 32 px")
def bare_pictures_too_small(place):
    place.picture("cats/a.png", 9, 7)
    return ["train", "--pictures", "cats"]


# Runs and checkpoints.


@bad(5, "runs/none", "config.yaml")
def resume_of_nothing(place):
    return ["resume", "runs/none"]


@bad(2, "tiny.yaml", "catgan train tiny.yaml")
def resume_of_a_config(place):
    return ["resume", "tiny.yaml"]


@bad(5, "step-000000003", "step-000000002")
def resume_from_a_step_that_is_not_there(place):
    return ["resume", place.run(), "--from", "3"]


@bad(2, "'latest'", "step-000012000")
def resume_from_a_word(place):
    return ["resume", place.run(), "--from", "latest"]


@bad(2, "step-000000002", "--from 4")
def resume_from_two_steps(place):
    return ["resume", place.run() / "checkpoints/step-000000002", "--from", "4"]


@bad(2, "model.base_channels", "4", "8", "shapes of the weights")
def resume_with_other_networks(place):
    return ["resume", place.run(), "model.base_channels=8"]


@bad(2, "seed", "every draw")
def resume_with_another_seed(place):
    return ["resume", place.run(), "seed=5"]


@bad(2, "training.global_batch", "order of the pictures")
def resume_with_another_batch(place):
    return ["resume", place.run(), "training.global_batch=16"]


@bad(2, "loss.r1_weight", "catgan resume", "run=")
def another_config_on_a_run(place):
    place.run()
    return ["train", "tiny.yaml", "loss.r1_weight=3"]


@bad(5, "fingerprint")
def other_pictures_under_a_run(place):
    run = place.run()
    change = json.loads((run / "run.json").read_text())
    change["dataset"]["fingerprint"] = "0" * 32
    (run / "run.json").write_text(json.dumps(change))
    return ["resume", run, "training.steps=6"]


@bad(5, "run.json", "not JSON")
def run_record_broken(place):
    run = place.run()
    (run / "run.json").write_text('{"name": ')
    return ["resume", run, "training.steps=6"]


@bad(5, "format version 9")
def run_record_of_a_newer_program(place):
    run = place.run()
    change_json(run / "run.json", format_version=9)
    return ["resume", run, "training.steps=6"]


@bad(5, "step-000000002", "step-000000004", "whole")
def all_checkpoints_damaged(place):
    run = place.run()
    for part in run.rglob("*.safetensors"):
        flip(part)
    return ["resume", run, "training.steps=6"]


@bad(5, "step-000000004", "is missing")
def chosen_checkpoint_without_a_part(place):
    run = place.run()
    for part in (run / "checkpoints/step-000000004").glob("*.safetensors"):
        part.unlink()
    return ["resume", run, "training.steps=6", "--from", "step-000000004"]


@bad(5, "manifest.json", "not JSON")
def chosen_checkpoint_with_a_broken_manifest(place):
    run = place.run()
    (run / "checkpoints/step-000000004/manifest.json").write_text("{")
    return ["resume", run, "training.steps=6", "--from", "4"]


@bad(5, "runs/none")
def pictures_from_nothing(place):
    return ["generate", "runs/none", "--out", "drawn"]


@bad(5, "broken.keras")
def pictures_from_a_broken_generator(place):
    place.file("broken.keras", "no model")
    return ["generate", "broken.keras", "--out", "drawn"]


@bad(2, "count 0")
def no_pictures_wanted(place):
    return ["generate", place.run(), "--out", "drawn", "--count", "0"]


@bad(2, "truncation 0.01", "--truncation 1.0")
def truncation_to_nothing(place):
    return ["generate", place.run(), "--out", "drawn", "--truncation", "0.01"]


@bad(4, "plain.txt")
def pictures_into_a_file(place):
    place.file("plain.txt", "x")
    return ["generate", place.run(), "--out", "plain.txt", "--count", "1"]


@bad(3, "neither manifest.json nor run.json", "tiny.yaml")
def inspection_of_something_else(place):
    return ["inspect", "."]


@bad(5, "step-000000009", "step-000000004")
def inspection_of_a_step_that_is_not_there(place):
    return ["inspect", place.run() / "checkpoints/step-000000009"]


@bad(2, "training.steps=4", "--steps")
def verification_of_too_few_steps(place):
    return ["verify-resume", "tiny.yaml"]
