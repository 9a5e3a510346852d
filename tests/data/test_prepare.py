"""From source to data set, end to end."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import contents, noise, pictures, write_folder, write_tar, write_zip
from trainer import storage
from trainer.data import prepare as module
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.data.shards import MANIFEST_NAME, MAX_SHARD_BYTES, read_manifest
from trainer.errors import ConfigError, DataError, InterruptedRun, StorageError

SMALL = PrepareOptions(size_px=16, workers=1)


def files_of(folder):
    """All bytes of a data set but the manifest's own address of its source."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(found.pop(MANIFEST_NAME))
    del manifest["source"]
    return found, manifest


def rejected(folder):
    lines = (folder / "rejected.jsonl").read_text().splitlines()
    return {line["id"]: line for line in map(json.loads, lines)}


# --- the data set ---


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


# --- what the result depends on ---


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


# --- what is left out ---


def test_every_file_is_a_picture_or_has_a_reason(tmp_path, shared_data):
    options = PrepareOptions(size_px=64, workers=2)
    manifest = prepare(str(shared_data / "awkward"), str(tmp_path / "set"), options)
    reasons = {name: line["reason"] for name, line in rejected(tmp_path / "set").items()}
    heif = {"photo.heif": "needs HEIF support"} if "photo.heif" in reasons else {}
    assert reasons == {
        "bomb-text.png": "unpacks to too much",
        "bomb.gif": "too many pixels",
        "broken-stream.png": "damaged",
        "empty.jpg": "empty file",
        "error-page.jpg": "text in place of a picture",
        "half.jpg": "cut short",
        "header-only.png": "damaged",
        "lfs-pointer.jpg": "Git LFS pointer",
        "one-pixel.png": "smaller than asked for",
        "pages.tiff": "smaller than asked for",
        "rgb16.tif": "smaller than asked for",
        "truncated-progressive.jpg": "cut short",
        "truncated.png": "cut short",
        **heif,
    }
    found = contents(tmp_path / "set", manifest)
    assert len(found) + len(reasons) + manifest.counts.not_pictures == 47
    assert manifest.counts.not_pictures == 2
    assert manifest.counts.reasons["cut short"] == 3
    assert "Kätzchen im Garten (1).JPG" in found


def test_names_that_say_nothing_are_tried(tmp_path):
    files = {"cat": noise(0), "photo.v2": noise(1), "blob": b"\0\1\2", "words": b"hello"}
    source = write_folder(tmp_path / "source", files)
    manifest = prepare(str(source), str(tmp_path / "set"), SMALL)
    assert set(contents(tmp_path / "set", manifest)) == {"cat", "photo.v2"}
    assert rejected(tmp_path / "set") == {}
    assert manifest.counts.not_pictures == 2


def test_the_exclude_list(tmp_path, shared_data):
    files = {"a/1.png": noise(1), "a/2.png": noise(2), "b/1.png": noise(3), "b/3.png": noise(4)}
    source = write_folder(tmp_path / "source", files)
    listed = tmp_path / "list.txt"
    listed.write_text("# left out\n\n2.png   # any folder\nb/1.png\n3.png.cat\n")
    options = PrepareOptions(size_px=16, workers=1, exclude=str(listed))
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert set(contents(tmp_path / "set", manifest)) == {"a/1.png"}
    assert manifest.counts.reasons == {"excluded": 3}
    outliers = shared_data / "cat-dataset-outliers.txt"
    known = module.read_exclude_list(str(outliers))
    assert "CAT_00/00000004_007.jpg" in known
    assert "00000003_019.jpg" not in known  # mentioned in a comment only


def test_duplicates_are_left_out_on_request(tmp_path):
    from trainer.data.drawn import draw_cat

    files = {}
    for k in range(6):
        image = Image.fromarray(draw_cat(k, 0, 128)[0])
        for name, kind, size in ((f"{k} a.png", "png", 128), (f"{k} b.jpg", "jpeg", 100)):
            path = tmp_path / name
            image.resize((size, size), Image.Resampling.LANCZOS).save(path, kind)
            files[name] = path.read_bytes()
    source = write_folder(tmp_path / "source", files)
    options = PrepareOptions(size_px=32, workers=1, dedup=True)
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert sorted(contents(tmp_path / "set", manifest)) == [f"{k} a.png" for k in range(6)]
    assert rejected(tmp_path / "set")["3 b.jpg"]["detail"] == "of 3 a.png"
    everything = prepare(str(source), str(tmp_path / "all"), PrepareOptions(size_px=32, workers=1))
    assert everything.counts.train + everything.counts.validation == 12


def test_real_pictures_hold_no_duplicates_and_none_is_taken_for_one(tmp_path, shared_data):
    options = PrepareOptions(size_px=32, dedup=True)
    manifest = prepare(str(shared_data / "cats256.zip"), str(tmp_path / "set"), options)
    assert manifest.counts.train + manifest.counts.validation >= 798
    assert "CC BY-NC" in (manifest.source.licence or "") or manifest.source.licence


@pytest.mark.parametrize("pack", [None, "zip", "tar", "tar.gz"])
def test_landmarks_lie_beside_their_pictures(tmp_path, shared_data, pack):
    names = ["00000001_000.jpg", "00000001_008.jpg", "00000002_003.jpg"]
    files = {"x/lonely.png": noise(0, 200, 200)}
    for name in names:
        for full in (f"{name}.cat", name):
            files[f"x/{full}"] = (shared_data / "cat-landmarks" / full).read_bytes()
    source = tmp_path / "source"
    if pack is None:
        write_folder(source, files)
    elif pack == "zip":
        write_zip(source, files)
    else:
        write_tar(source, files, "w:" + pack.partition(".")[2])
    options = PrepareOptions(size_px=64, crop="landmarks", workers=1)
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert set(contents(tmp_path / "set", manifest)) == {f"x/{names[0]}", f"x/{names[2]}"}
    reasons = {name: line["reason"] for name, line in rejected(tmp_path / "set").items()}
    assert reasons == {
        "x/lonely.png": "no landmarks",
        "x/00000001_008.jpg": "smaller than asked for",
    }
    assert manifest.decoding["landmarks"]["eyes_at"] == [0.5, 0.4]


# --- going on, and again ---


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_it_goes_on_and_ends_with_the_same_bytes(tmp_path, workers):
    source = write_folder(tmp_path / "source", pictures(150))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = PrepareOptions(size_px=16, workers=workers)
    prepare(str(source), str(whole), options)
    converted = itertools.count()

    def interrupt_at(limit):
        def report(status):
            if status.phase == "converting" and next(converted) >= limit:
                raise KeyboardInterrupt

        return report

    for limit in (40, 90):
        with pytest.raises(InterruptedRun, match="goes on where it stopped"):
            prepare(str(source), str(stopped), options, interrupt_at(limit))
        assert not (stopped / MANIFEST_NAME).exists()
    done = []
    prepare(str(source), str(stopped), options, lambda status: done.append(status))
    first = next(status for status in done if status.phase == "converting")
    assert first.done >= 90
    assert files_of(stopped) == files_of(whole)


def test_what_changed_in_between_is_done_again(tmp_path):
    source = write_folder(tmp_path / "source", pictures(60))
    changed, gone = sorted(pictures(60))[:2]

    def stop(status):
        if status.phase == "writing":
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRun):
        prepare(str(source), str(tmp_path / "set"), SMALL, stop)
    (source / changed).write_bytes(noise(99, 30, 30))
    (source / gone).unlink()
    (source / "new.png").write_bytes(noise(98))
    prepare(str(source), str(tmp_path / "set"), SMALL)
    prepare(str(source), str(tmp_path / "fresh"), SMALL)
    assert files_of(tmp_path / "set") == files_of(tmp_path / "fresh")


def test_other_options_after_an_interruption_start_anew(tmp_path):
    source = write_folder(tmp_path / "source", pictures(20))

    def stop(status):
        if status.phase == "writing" and status.done > 8:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRun):
        prepare(str(source), str(tmp_path / "set"), SMALL, stop)
    options = PrepareOptions(size_px=8, workers=1, val_fraction=0)
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert manifest.size_px == 8
    shards = {path.name for path in (tmp_path / "set").glob("*.tfrecord")}
    assert shards == {shard.name for shard in manifest.shards}


def test_finished_it_does_nothing(tmp_path):
    source = write_folder(tmp_path / "source", pictures(20))
    first = prepare(str(source), str(tmp_path / "set"), SMALL)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()}
    options = PrepareOptions(size_px=16, workers=5)
    assert prepare(str(source), str(tmp_path / "set"), options) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()} == times
    source.rename(tmp_path / "moved")
    assert prepare(str(tmp_path / "moved"), str(tmp_path / "set"), SMALL) == first


def test_finished_otherwise_it_names_what_differs_and_both_remedies(tmp_path):
    source = write_folder(tmp_path / "source", pictures(20))
    prepare(str(source), str(tmp_path / "set"), SMALL)
    with pytest.raises(ConfigError) as caught:
        prepare(str(source), str(tmp_path / "set"), PrepareOptions(size_px=8, workers=1))
    assert "size_px is 16, asked for 8" in str(caught.value)
    assert "another address" in caught.value.remedy
    assert "rm -r" in caught.value.remedy
    (source / "new.png").write_bytes(noise(50))
    with pytest.raises(ConfigError, match="has changed since"):
        prepare(str(source), str(tmp_path / "set"), SMALL)
    with pytest.raises(ConfigError, match=r"source is .*/source, asked for drawn:9:0"):
        prepare("drawn:9", str(tmp_path / "set"), SMALL)


# --- errors ---


def test_nothing_is_left_where_nothing_could_be_made(tmp_path):
    source = write_folder(tmp_path / "source", {"a.jpg": b"", "b.txt": b"words"})
    with pytest.raises(DataError, match="1 empty file"):
        prepare(str(source), str(tmp_path / "set"), SMALL)
    assert not (tmp_path / "set").exists()


def test_an_empty_source(tmp_path):
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        prepare(str(tmp_path / "source"), str(tmp_path / "set"), SMALL)


def test_too_small_pictures_get_a_size_that_fits(tmp_path):
    source = write_folder(tmp_path / "source", pictures(5))
    with pytest.raises(DataError, match="--size 16: half of them are at least 24 px"):
        prepare(str(source), str(tmp_path / "set"), PrepareOptions(size_px=64, workers=1))


def test_a_folder_with_other_things_in_it_is_no_target(tmp_path):
    target = write_folder(tmp_path / "home", {"thesis.tex": b"years of work"})
    with pytest.raises(ConfigError, match="not empty and no data set"):
        prepare("drawn:5", str(target), SMALL)
    assert [path.name for path in target.iterdir()] == ["thesis.tex"]


def test_source_and_target_must_differ_but_may_lie_in_each_other(tmp_path):
    source = write_folder(tmp_path / "source", pictures(5))
    with pytest.raises(ConfigError, match="both the source and the data set"):
        prepare(str(source), str(source), SMALL)
    for _ in range(2):
        manifest = prepare(str(source), str(source / "set"), SMALL)
        assert len(contents(source / "set", manifest)) == 5


def test_a_file_in_the_targets_place(tmp_path):
    (tmp_path / "set").write_bytes(b"")
    with pytest.raises((StorageError, ConfigError)):
        prepare("drawn:5", str(tmp_path / "set"), SMALL)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"size_px": 7}, "size is 7 px"),
        ({"size_px": 1025}, "size is 1025 px"),
        ({"val_fraction": -0.1}, "val-fraction is -0.1"),
        ({"val_fraction": 0.6}, "val-fraction is 0.6"),
        ({"val_fraction": float("nan")}, "val-fraction is nan"),
        ({"crop": "middle"}, "crop is 'middle'"),
        ({"encoding": "bmp"}, "encoding is 'bmp'"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_options_out_of_range(fields, said):
    with pytest.raises(ConfigError, match=said):
        PrepareOptions(**fields)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"name\0.png"])
def test_exclude_lists_that_are_none(tmp_path, content):
    path = tmp_path / "list"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="exclude list"):
        prepare("drawn:5", str(tmp_path / "set"), PrepareOptions(exclude=str(path)))
    assert not (tmp_path / "set").exists()
