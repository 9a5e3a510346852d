"""Whether the data set that is there is the one that a config means."""

import pytest

from tests.data.pictures import noise, pictures, write_folder
from trainer import config as configs
from trainer import storage
from trainer.data import fitting
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.data.shards import read_manifest
from trainer.data.source import address_of, open_source
from trainer.errors import DataError


@pytest.fixture
def prepared(tmp_path):
    """Of 32 px with a tenth held out; where its pictures are, and where it is."""
    files = {f"{number}.png": noise(number, 40, 40) for number in range(20)}
    source, target = write_folder(tmp_path / "cats", files), tmp_path / "set"
    prepare(str(source), str(target), PrepareOptions(size_px=32, val_fraction=0.1, workers=1))
    return source, target


def refuse(prepared, *words, is_new=True):
    source, target = prepared
    config = configs.from_text(
        "",
        [
            "dataset.size_px=32",
            "dataset.val_fraction=0.1",
            f"dataset.address={target}",
            f"dataset.source={source}",
            *words,
        ],
    )
    manifest = read_manifest(storage.open_folder(str(target)))
    fitting.refuse_misfit(manifest, config.dataset, is_new=is_new)


def test_the_one_that_is_meant_fits(prepared, monkeypatch):
    refuse(prepared)
    refuse(prepared, f"dataset.source={prepared[0]}/../cats/")
    monkeypatch.setenv("HOME", str(prepared[0].parent))
    refuse(prepared, "dataset.source=~/cats")


@pytest.mark.parametrize(
    ("word", "keeps"),
    [
        ("dataset.source=drawn:20", "dataset.source="),
        ("dataset.crop=face", "dataset.crop=center"),
        ("dataset.encoding=jpeg", "dataset.encoding=png"),
        ("dataset.val_fraction=0.2", "dataset.val_fraction=0.1"),
    ],
)
def test_another_one_is_refused_and_the_remedy_holds(prepared, word, keeps):
    with pytest.raises(DataError, match="prepared otherwise") as told:
        refuse(prepared, word)
    assert f"set {keeps};" in told.value.remedy
    refuse(prepared, word, keeps)


def test_a_run_that_has_begun_keeps_its_pictures_wherever_their_source_is(prepared):
    refuse(prepared, "dataset.source=/moved/away", is_new=False)
    with pytest.raises(DataError, match="32 px"):
        refuse(prepared, "dataset.size_px=64", is_new=False)


def test_without_a_source_what_is_there_is_meant(prepared):
    refuse(prepared, "dataset.source=", "dataset.val_fraction=0.2", "dataset.crop=face")


@pytest.mark.parametrize("text", ["drawn:20", "drawn:20:3", "tfds:cats_vs_dogs", "tfds:/a/b:test"])
def test_the_address_of_a_source_is_known_before_it_is_opened(text, tmp_path):
    assert address_of(text) == open_source(text, tmp_path).address


def test_the_address_of_a_folder_and_an_archive(tmp_path, bucket):
    from tests.data.pictures import write_tar

    folder, archive = write_folder(tmp_path / "cats", pictures(3)), tmp_path / "cats.tar"
    write_tar(archive, pictures(3))
    link = tmp_path / "link"
    link.symlink_to(folder)
    for text in (folder, link, archive, f"{bucket.address}/cats/", f"{bucket.address}/cats"):
        assert address_of(str(text)) == open_source(str(text), tmp_path).address
