"""From source to data set, end to end."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import contents, noise, pictures, write_folder, write_tar, write_zip
from tests.data.prepared import SMALL, files_of
from trainer import storage
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.data.shards import MANIFEST_NAME, MAX_SHARD_BYTES, read_manifest


def test_a_folder_becomes_a_data_set(tmp_path):
    files = pictures(40)
    source = write_folder(tmp_path / "source", {**files, "LICENSE": b"CC0", "a/.DS_Store": b"\0"})
    manifest = prepare(str(source), str(tmp_path / "set"), SMALL)
    assert manifest == read_manifest(storage.open_folder(tmp_path / "set"))
    assert (manifest.counts.train, manifest.counts.validation) == (38, 2)
    assert (manifest.counts.rejected, manifest.counts.not_pictures) == (0, 2)
    assert manifest.source.licence == "CC0"
    assert manifest.resize.filter == "lanczos"
    assert manifest.resize.library.startswith("pillow ")
    names = {path.name for path in (tmp_path / "set").iterdir()}
    assert names == {shard.name for shard in manifest.shards} | {
        MANIFEST_NAME,
        "rejected.jsonl",
        "features.json",
        "dataset_info.json",
    }
    pictures_found = contents(tmp_path / "set", manifest)
    assert set(pictures_found) == set(files)
    assert {len(manifest.split("train")), len(manifest.split("validation"))} == {16, 1}
    counts = [shard.records for shard in manifest.split("train")]
    assert max(counts) - min(counts) <= 1
    assert all(shard.bytes <= MAX_SHARD_BYTES for shard in manifest.shards)


def test_the_licence_is_that_nearest_to_the_top_in_any_order(tmp_path):
    files = {
        "license.jpg": noise(0),
        "b/LICENSE": b"of b",
        "a/LICENSE": b"of a",
        "licence.txt": "© Kätzchen".encode(),
        "COPYING": b" \n",
    }
    licences = set()
    for number, names in enumerate((list(files), list(files)[::-1])):
        for mode in ("w", "w:gz"):
            path = tmp_path / f"{number}.{mode[2:] or 'tar'}"
            write_tar(path, {name: files[name] for name in names}, mode)
            manifest = prepare(str(path), str(tmp_path / f"set of {path.name}"), SMALL)
            licences.add(manifest.source.licence)
    assert licences == {"© Kätzchen"}


@pytest.mark.parametrize("encoding", ["png", "raw"])
def test_exact_encodings_keep_every_pixel(tmp_path, encoding):
    source = write_folder(
        tmp_path / "source", {"a.png": noise(0, 16, 16), "b.png": noise(1, 16, 16)}
    )
    options = PrepareOptions(size_px=16, encoding=encoding, workers=1)
    found = contents(tmp_path / "set", prepare(str(source), str(tmp_path / "set"), options))
    expected = np.random.RandomState(0).randint(0, 256, (16, 16, 3), dtype=np.uint8)
    if encoding == "raw":
        assert found["a.png"] == expected.tobytes()
    else:
        (tmp_path / "a.png").write_bytes(found["a.png"])
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), expected)


def test_raw_shards_stay_small(tmp_path):
    options = PrepareOptions(size_px=512, encoding="raw", workers=1, val_fraction=0)
    manifest = prepare("drawn:36", str(tmp_path / "set"), options)
    assert len(manifest.shards) == 16
    assert max(shard.bytes for shard in manifest.shards) <= MAX_SHARD_BYTES


def test_plain_tensorflow_datasets_opens_it(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    for encoding in ("png", "jpeg", "raw"):
        options = PrepareOptions(size_px=16, encoding=encoding, workers=1)
        manifest = prepare("drawn:40", str(tmp_path / encoding), options)
        builder = tfds.builder_from_directory(tmp_path / encoding)
        assert builder.info.splits["train"].num_examples == manifest.counts.train
        assert builder.info.splits["validation"].num_examples == manifest.counts.validation
        seen = {
            record["id"].decode(): record["image"]
            for split in ("train", "validation")
            for record in builder.as_dataset(split=split).as_numpy_iterator()
        }
        assert sorted(seen) == [f"drawn-{k:07d}" for k in range(40)]
        assert {image.shape for image in seen.values()} == {(16, 16, 3)}
        from trainer.data.drawn import draw_cat

        difference = np.abs(seen["drawn-0000003"].astype(int) - draw_cat(3, 0, 16)[0])
        assert difference.max() <= (40 if encoding == "jpeg" else 0)


def test_attributes_of_drawn_cats_are_recorded(tmp_path):
    prepare("drawn:20", str(tmp_path / "set"), SMALL)
    lines = (tmp_path / "set" / "attributes.jsonl").read_text().splitlines()
    attributes = [json.loads(line) for line in lines]
    assert [line["id"] for line in attributes] == [f"drawn-{k:07d}" for k in range(20)]
    assert {"coat", "eyes", "ears", "background"} <= set(attributes[0])


def test_the_same_bytes_from_folder_zip_and_tar_with_any_workers(tmp_path):
    files = {**pictures(120), "bad.png": b"", "small.png": noise(3, 8, 8)}
    shuffled = dict(sorted(files.items(), key=lambda item: item[1]))
    sources = [
        write_folder(tmp_path / "folder", files),
        write_zip(tmp_path / "a.zip", shuffled),
        write_tar(tmp_path / "a.tar", shuffled),
        write_tar(tmp_path / "a.tgz", files, "w:gz"),
    ]
    made = []
    for source, workers in zip(sources, (1, 3, 2, 2), strict=True):
        target = tmp_path / f"set {source.name}"
        prepare(str(source), str(target), PrepareOptions(size_px=16, workers=workers))
        made.append(files_of(target))
    for one in made[1:]:
        assert one == made[0]


def test_validation_is_stable_when_pictures_come(tmp_path):
    options = PrepareOptions(size_px=16, workers=1, val_fraction=0.2)
    held = []
    for count in (100, 110):
        source = write_folder(tmp_path / f"source{count}", pictures(count))
        manifest = prepare(str(source), str(tmp_path / f"set{count}"), options)
        part = manifest.model_copy(update={"shards": tuple(manifest.split("validation"))})
        held.append(set(contents(tmp_path / f"set{count}", part)))
    assert len(held[0] & held[1]) >= 17
