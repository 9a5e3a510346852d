"""A judge replays the augmentation that the checkpoint's discriminator saw, ADA's too."""

import dataclasses
import re

import numpy as np
import pytest

from tests.callbacks import tiny_run
from tests.data.small_sets import noise
from trainer import checkpoint
from trainer.errors import CheckpointError
from trainer.launch.starting import open_dataset
from trainer.outliers.find import find_outliers
from trainer.outliers.judge import PREFIXES, open_judge

ADAPTIVE = (
    "precision=float32",
    "loss.name=non_saturating",
    "augment.kinds=[colour, translation]",
    "augment.strength=adaptive",
    # At every step up by 4 of 100 pictures, unless D calls all real ones false.
    "augment.adaptive_target=-1",
    "augment.adaptive_every_steps=1",
    "augment.adaptive_images=100",
)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """A folder with a run under adaptive augmentation."""
    folder = tmp_path_factory.mktemp("adapted")
    tiny_run.train(folder, *ADAPTIVE)
    return folder


def opened(folder):
    return checkpoint.open_address(str(folder / "run"), PREFIXES)


def with_strength(found, strength):
    """The same checkpoint, as if its run had been augmented at one strength."""
    config = re.sub(r"strength: adaptive", f"strength: {strength}", found.meta["config"])
    manifest = found.manifest.model_copy(update={"meta": {**found.meta, "config": config}})
    return dataclasses.replace(found, manifest=manifest)


def test_outliers_of_an_adaptive_run_are_found(adapted, tmp_path):
    found = find_outliers(str(adapted / "run"), str(tmp_path), count=5, open_dataset=open_dataset)
    assert found.judged == tiny_run.TRAIN_COUNT
    assert len(found.outliers) == 5


def test_pictures_are_seen_at_the_strength_that_the_checkpoint_had_reached(adapted):
    strength = float(opened(adapted).load()["adaptive/augment_strength"])
    assert strength > 0.0
    pictures = noise(8, 32)
    margins = open_judge(opened(adapted)).margins(pictures, 0)
    alike = open_judge(with_strength(opened(adapted), strength)).margins(pictures, 0)
    np.testing.assert_allclose(margins, alike, rtol=1e-6)
    none = open_judge(with_strength(opened(adapted), 0.0)).margins(pictures, 0)
    assert not np.allclose(margins, none, rtol=1e-3)


def test_an_adaptive_checkpoint_without_its_strength_is_refused(adapted, monkeypatch):
    found = opened(adapted)
    arrays = {name: a for name, a in found.load().items() if not name.startswith("adaptive/")}
    monkeypatch.setattr(found, "load", lambda prefixes: arrays)
    with pytest.raises(CheckpointError, match="augment_strength") as caught:
        open_judge(found)
    assert caught.value.remedy
