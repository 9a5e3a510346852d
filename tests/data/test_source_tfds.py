"""Data sets of tensorflow-datasets that are prepared already."""

import shutil

import numpy as np
import pytest

from tests.data.pictures import contents
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.errors import DataError

tfds = pytest.importorskip("tensorflow_datasets")

SMALL = PrepareOptions(size_px=16, workers=1)


class Pets(tfds.core.GeneratorBasedBuilder):
    """As small as possible, with the name and the features of the real one."""

    name = "oxford_iiit_pet"
    VERSION = tfds.core.Version("4.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(),
            "species": tfds.features.ClassLabel(names=["Cat", "Dog"]),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), license="CC BY-SA 4.0"
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(100)}

    def _generate_examples(self, first):
        for k in range(first, first + 10):
            pixels = np.random.RandomState(k).randint(0, 256, (20, 24, 3), dtype=np.uint8)
            yield str(k), {"image": pixels, "species": k % 2, "file_name": f"{k}.jpg"}


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    Pets(data_dir=folder).download_and_prepare()
    return folder / "oxford_iiit_pet" / "4.0.0"


def test_only_the_cats_are_kept_of_all_splits(tmp_path, pets):
    manifest = prepare(f"tfds:{pets}", str(tmp_path / "set"), SMALL)
    assert manifest.counts.train + manifest.counts.validation == 10
    assert manifest.source.licence == "CC BY-SA 4.0"
    assert manifest.source.address == f"tfds:{pets}:all"
    again = prepare(f"tfds:{pets}", str(tmp_path / "set"), SMALL)
    assert again == manifest


def test_one_split(tmp_path, pets):
    manifest = prepare(f"tfds:{pets}:test", str(tmp_path / "set"), SMALL)
    names = contents(tmp_path / "set", manifest)
    assert len(names) == 5
    assert all("test" in name for name in names)


def test_any_number_of_workers(tmp_path, pets):
    prints = {
        prepare(
            f"tfds:{pets}",
            str(tmp_path / f"set{workers}"),
            PrepareOptions(size_px=16, workers=workers),
        ).fingerprint
        for workers in (1, 2)
    }
    assert len(prints) == 1


def test_a_data_set_of_our_own_is_a_source_too(tmp_path):
    prepare("drawn:20", str(tmp_path / "first"), PrepareOptions(size_px=32, workers=1))
    manifest = prepare(f"tfds:{tmp_path / 'first'}:train", str(tmp_path / "second"), SMALL)
    assert manifest.counts.train + manifest.counts.validation == 19


def test_prepared_in_a_bucket(tmp_path, pets, bucket, monkeypatch):
    from trainer import storage

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = storage.open_folder(f"{bucket.address}/pets/4.0.0")
    for path in pets.iterdir():
        folder.write(path.name, path.read_bytes())
    manifest = prepare(f"tfds:{folder.address}:train", str(tmp_path / "set"), SMALL)
    assert manifest.counts.train + manifest.counts.validation == 5


def test_what_is_wrong_is_said(tmp_path, pets):
    target = str(tmp_path / "set")
    with pytest.raises(DataError, match="a split out of: train, test"):
        prepare(f"tfds:{pets}:sideways", target, SMALL)
    with pytest.raises(DataError, match="holds no prepared data sets"):
        prepare(f"tfds:{tmp_path}", target, SMALL)
    with pytest.raises(DataError, match="knows no data set 'cats_vs_doggs'") as caught:
        prepare("tfds:cats_vs_doggs", target, SMALL)
    assert "cats_vs_dogs" in caught.value.expected
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match="cannot be opened"):
        prepare(f"tfds:{tmp_path / 'broken'}", target, SMALL)
    assert not (tmp_path / "set").exists()


def test_a_damaged_record_is_named(tmp_path, pets):
    copy = shutil.copytree(pets, tmp_path / "pets" / "4.0.0")
    records = next(copy.glob("*train*tfrecord*"))
    data = bytearray(records.read_bytes())
    data[len(data) // 2] ^= 0xFF
    records.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read to its end") as caught:
        prepare(f"tfds:{copy}", str(tmp_path / "set"), SMALL)
    assert caught.value.expected
    assert "again" in caught.value.remedy
    assert not (tmp_path / "set").exists()


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """Every connection is refused at once, and nothing was downloaded before."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


def test_without_a_network_it_does_not_try_for_minutes(tmp_path, no_network):
    with pytest.raises(DataError, match=r"download\.microsoft\.com does not answer") as caught:
        prepare("tfds:cats_vs_dogs", str(tmp_path / "set"), SMALL)
    assert "tfds:/path" in caught.value.remedy
    assert not (tmp_path / "set").exists()


def test_what_was_downloaded_or_prepared_before_needs_no_network(pets, no_network):
    from trainer.data import source_tfds

    source_tfds._must_reach_downloads(tfds.builder_from_directory(pets))
    builder = tfds.builder("cats_vs_dogs")
    (no_network / "downloads").mkdir(parents=True)
    (no_network / "downloads" / "kagglecatsanddogs.zip").write_bytes(b"as it came")
    source_tfds._must_reach_downloads(builder)
