"""What an evaluation leaves: figures and a grid, whatever becomes of the checkpoint meanwhile."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.callbacks import tiny_run
from tests.data.small_sets import write_set
from trainer.errors import StorageError
from trainer.evaluation import evaluate as evaluating
from trainer.evaluation import files
from trainer.evaluation.evaluate import EvaluateOptions, measure, open_sides
from trainer.launch import evaluators
from trainer.run_folder import names
from trainer.storage import open_folder


@pytest.fixture
def run(tmp_path):
    tiny_run.train(tmp_path)
    return tmp_path / "run"


@pytest.fixture
def task(run, shared_set, network_file):
    """A measurement of the run's last checkpoint, with neighbours."""
    address = str(run / "checkpoints" / "step-000000012")
    return evaluators.Task(address, shared_set, ("kid", "nearest"), (network_file,), 110, "")


def test_a_checkpoint_that_is_deleted_while_it_is_measured(task, run, monkeypatch):
    expected = task.done()
    (run / names.NEAREST).unlink()

    def overtaken(sides, wish, **told):
        shutil.rmtree(run / "checkpoints")
        return measure(sides, wish, **told)

    monkeypatch.setattr(evaluating, "measure", overtaken)
    found = task.done()
    assert found["results"] == expected["results"]
    with Image.open(run / names.NEAREST) as grid:
        assert grid.width > grid.height


def test_figures_stay_where_the_grid_cannot_be_written(task, monkeypatch, caplog):
    def refuse(*_):
        raise StorageError("no space left")

    monkeypatch.setattr(files, "write_nearest", refuse)
    assert task.done()["results"][0]["figures"]["kernel_distance"]
    assert "no space left" in caplog.text


def test_shards_of_a_bucket_are_kept_where_the_caller_says(
    bucket, cats, network_file, tmp_path, monkeypatch
):
    address = f"{bucket.address}/set"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "usual"))
    write_set(address, cats, validation=140)
    wish = EvaluateOptions(("nearest",), (network_file,), 110)
    sides = open_sides(address, address, wish, str(tmp_path / "cache"))
    found = measure(sides, wish)
    away = open_folder(bucket.address)
    assert files.write_nearest(found, sides, away, "nearest.png")
    grid = np.asarray(Image.open(io.BytesIO(away.read("nearest.png"))))
    assert grid.shape[2] == 3
    assert any((tmp_path / "cache").rglob("*"))
    assert not (tmp_path / "usual").exists()
