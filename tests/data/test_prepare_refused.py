"""What cannot be prepared, and what is left then: nothing."""

import shutil

import pytest

from tests.data.pictures import contents, pictures, write_folder
from tests.data.prepared import SMALL
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.errors import ConfigError, DataError, StorageError


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


def test_so_it_is_through_a_link(tmp_path):
    source, link = write_folder(tmp_path / "source", pictures(5)), tmp_path / "link"
    link.symlink_to(source)
    for one, other in ((source, link), (link, source)):
        with pytest.raises(ConfigError, match="both the source and the data set"):
            prepare(str(one), str(other), SMALL)
    for one, other in ((source, link), (link, source), (link, link)):
        target = other / f"set of {one.name} in {other.name}"
        for _ in range(2):
            manifest = prepare(str(one), str(target), SMALL)
            assert manifest.counts.train + manifest.counts.validation == 5
            assert manifest.counts.not_pictures == 0
        shutil.rmtree(target)


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


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [({"crop": "middle"}, "--crop center"), ({"encoding": "bmp"}, "--encoding png")],
)
def test_a_wrong_choice_is_told_a_right_one(fields, remedy):
    with pytest.raises(ConfigError) as caught:
        PrepareOptions(**fields)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"name\0.png"])
def test_exclude_lists_that_are_none(tmp_path, content):
    path = tmp_path / "list"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="exclude list"):
        prepare("drawn:5", str(tmp_path / "set"), PrepareOptions(exclude=str(path)))
    assert not (tmp_path / "set").exists()
