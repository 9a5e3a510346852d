"""What does not become a picture of the data set, and the reason it is given."""

import errno
import os

import pytest
from PIL import Image

from tests.data.pictures import contents, noise, write_folder, write_tar, write_zip
from tests.data.prepared import SMALL, rejected
from trainer import storage
from trainer.data import prepare as module
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.errors import ConfigError


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


@pytest.fixture
def unlistable(monkeypatch):
    """Names of folders that cannot be listed, not even by root."""
    names, scandir = set(), os.scandir

    def refusing(path="."):
        if isinstance(path, str) and os.path.basename(path) in names:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return names


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, unlistable):
    files = {"a.png": noise(0), "locked/b.png": noise(1), "Desktop/c.png": noise(2)}
    source = write_folder(tmp_path / "source", {**files, ".git/d.png": noise(3)})
    unlistable |= {"locked", "Desktop", ".git"}
    manifest = prepare(str(source), str(tmp_path / "set"), SMALL)
    assert set(contents(tmp_path / "set", manifest)) == {"a.png"}
    assert manifest.counts.reasons == {"unreadable folder": 2}
    found = rejected(tmp_path / "set")
    assert set(found) == {"locked/", "Desktop/"}
    assert found["locked/"]["detail"] == "Permission denied"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_without_permission_is_told(tmp_path):
    source = write_folder(tmp_path / "source", {"a.png": noise(0), "locked/b.png": noise(1)})
    (source / "locked").chmod(0)
    try:
        manifest = prepare(str(source), str(tmp_path / "set"), SMALL)
    finally:
        (source / "locked").chmod(0o700)
    assert manifest.counts.reasons == {"unreadable folder": 1}


def test_the_exclude_list(tmp_path, shared_data, bucket):
    files = {"a/1.png": noise(1), "a/2.png": noise(2), "b/1.png": noise(3), "b/3.png": noise(4)}
    source = write_folder(tmp_path / "source", files)
    listed = tmp_path / "list.txt"
    listed.write_text("# left out\n\n2.png   # any folder\nb/1.png\n3.png.cat\n")
    options = PrepareOptions(size_px=16, workers=1, exclude=str(listed))
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert set(contents(tmp_path / "set", manifest)) == {"a/1.png"}
    assert manifest.counts.reasons == {"excluded": 3}
    put = storage.open_folder(f"{bucket.address}/found")
    put.write("outliers.txt", listed.read_bytes())
    away = module.read_exclude_list(f"{bucket.address}/found/outliers.txt")
    assert away.digest == module.read_exclude_list(str(listed)).digest
    with pytest.raises(ConfigError, match="no such file"):
        module.read_exclude_list(f"{bucket.address}/found/other.txt")
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


FACE = b"9 80 100 120 100 100 130 60 70 70 40 85 65 115 65 130 40 140 70"


@pytest.mark.parametrize("mode", [None, "w", "w:gz"])
def test_of_a_large_landmark_file_the_beginning_counts(tmp_path, mode):
    files = {"a.png": noise(0, 200, 200), "a.png.cat": FACE + b" " * 70_000}
    source = tmp_path / "source"
    if mode is None:
        write_folder(source, files)
    else:
        write_tar(source, files, mode)
    options = PrepareOptions(size_px=64, crop="landmarks", workers=1)
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert set(contents(tmp_path / "set", manifest)) == {"a.png"}
