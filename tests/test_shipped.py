"""The generator that comes with the program: small, drawn with at once, and what it says it is."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import catgan
from trainer import config, shipped
from trainer.run_folder import names

__all__ = ["catgan"]

FOLDER = Path(shipped.resolved(shipped.WORD))


def test_it_is_small_and_has_its_config_and_its_audit_beside_it():
    assert (FOLDER / names.GENERATOR).stat().st_size < 3e6
    settings = config.from_text((FOLDER / names.CONFIG).read_text())
    assert settings.deterministic
    assert settings.dataset.source.startswith("drawn:")
    told = json.loads((FOLDER / names.audit(settings.training.steps)).read_text())
    assert told["verdict"] == "same"
    assert (told["first"], told["last"]) == (0, settings.training.steps)
    text = "".join(path.read_text() for path in FOLDER.rglob("*.json"))
    assert "/tmp/" not in text + (FOLDER / names.CONFIG).read_text()


def test_cats_without_an_address(catgan, tmp_path):
    ended = catgan("generate", "--out", "cats", "--count", 16, "--grid")
    assert ended.code == 0, ended.err
    assert "warning" not in ended.err
    grid = np.asarray(Image.open(tmp_path / "cats" / "grid.png"))
    assert grid.shape == (128, 128, 3)
    pictures = [np.asarray(Image.open(path), np.float64) for path in
                sorted((tmp_path / "cats").glob("seed-*.png"))]  # fmt: skip
    # Neither noise nor one cat again and again.
    apart = [np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)]
    assert min(apart) > 10
    rough = np.mean([np.abs(np.diff(picture, axis=1)).mean() for picture in pictures])
    assert rough < 30


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_its_audit_passes_here_too(catgan, tmp_path):
    """On the same kind of machine to the bit; elsewhere nobody is accused."""
    ended = catgan("audit", "shipped", "--json", "--dataset", tmp_path / "drawn")
    assert ended.code == 0, ended.err
    assert ended.answer["verdict"] == ("same" if ended.answer["exact"] else "undecided")
