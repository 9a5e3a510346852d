"""Real pictures' features are measured once, in one order, and never taken from another set."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.small_sets import write_set
from trainer.data.stream import open_dataset
from trainer.evaluation import networks
from trainer.evaluation.real import RealFeatures, open_set
from trainer.storage import open_folder


@pytest.fixture
def measured(network_file):
    """Opens a split of a set and counts the pictures that are really measured."""

    def opened(address, split="train", name=network_file):
        network, counted = networks.find(name), []

        def call(pictures):
            counted.append(len(pictures))
            return network.call(pictures)

        dataset = open_dataset(address, cache_mib=1, memory_mib=0, cache_dir="")
        return RealFeatures(dataset, split, dataclasses.replace(network, call=call)), counted

    return opened


def test_a_larger_count_only_adds(cat_set, measured):
    first, counted = measured(cat_set)
    few = first.first(64)
    assert sum(counted) == 64
    many = first.first(128)
    assert sum(counted) == 128
    np.testing.assert_array_equal(many[:64], few)
    again, counted = measured(cat_set)
    np.testing.assert_array_equal(again.first(100), many[:100])
    assert counted == []


def test_rows_belong_to_the_numbers(cat_set, measured, cats):
    real, _ = measured(cat_set)
    numbers = real.numbers(real.count)
    assert sorted(numbers) == list(range(real.count))
    assert list(numbers) != sorted(numbers)
    expected = real.network.features(cats[numbers[:40]])
    np.testing.assert_allclose(real.first(40), expected, rtol=1e-5, atol=1e-6)


def test_splits_and_networks_do_not_mix(cat_set, measured, network_file):
    one, _ = measured(cat_set)
    other, _ = measured(cat_set, "validation")
    coarse, _ = measured(cat_set, name=f"{network_file}@8px")
    rows = [real.first(32) for real in (one, other, coarse)]
    assert not np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert len(list((Path(cat_set) / "features").iterdir())) == 3


def test_another_set_at_the_same_address_is_measured_anew(cat_set, measured, cats):
    old = measured(cat_set)[0].first(32)
    kept = Path(cat_set) / "features"
    shutil.move(kept, kept.parent.parent / "features")
    shutil.rmtree(cat_set)
    write_set(cat_set, cats[::-1].copy(), validation=140)
    shutil.move(kept.parent.parent / "features", kept)
    real, counted = measured(cat_set)
    assert not np.array_equal(real.first(32), old)
    assert sum(counted) == 32


def test_a_damaged_file_is_measured_anew(cat_set, measured):
    rows = measured(cat_set)[0].first(32)
    (kept,) = (Path(cat_set) / "features").iterdir()
    kept.write_bytes(b"nothing")
    np.testing.assert_array_equal(measured(cat_set)[0].first(32), rows)


def test_a_set_that_may_not_be_written_has_its_file_in_the_users_cache(
    cat_set, measured, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # A file where the folder would be: also root cannot write into it.
    (Path(cat_set) / "features").write_text("in the way")
    rows = measured(cat_set)[0].first(32)
    assert len(list((tmp_path / "cache" / "catgan" / "features").iterdir())) == 1
    again, counted = measured(cat_set)
    np.testing.assert_array_equal(again.first(32), rows)
    assert counted == []


def test_a_set_in_a_bucket_leaves_nothing_in_the_working_folder(
    bucket, cats, network_file, tmp_path, monkeypatch
):
    address, here = f"{bucket.address}/set", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(here)
    write_set(address, cats, validation=140)
    network = networks.find(network_file)
    rows = RealFeatures(open_set(address), "train", network).first(40)
    kept = [name.name for name in open_folder(address).list("features/")]
    assert len(rows) == 40
    assert len(kept) == 1
    assert list(here.iterdir()) == []
