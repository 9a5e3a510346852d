"""A whole small run, with the real GAN and a real folder."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.callbacks import tiny_run
from trainer import checkpoint
from trainer.callbacks.base import StepCallback
from trainer.run_folder import read_metrics


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tiny_run.train(tmp_path_factory.mktemp("tiny"))


class StopAfter(StepCallback):
    def __init__(self, last_step):
        super().__init__()
        self.last_step = last_step

    def after_call(self, step, logs):
        self.model.stop_training = step >= self.last_step


def names(run, prefix):
    return [entry.name for entry in run.folder.folder.list(prefix)]


def test_checkpoints_at_due_steps_and_at_the_end(finished):
    steps = [listed.step for listed in checkpoint.list_all(finished.folder)]
    assert steps == [5, 10, 12]
    newest = checkpoint.find_newest(finished.folder)
    for name, array in finished.gan.state().items():
        assert np.array_equal(newest.load([name])[name], array), name


def test_grids_early_and_at_due_steps(finished):
    steps = [0, 1, 2, 4, 6, 8, 12]
    expected = {f"samples/step-{step:09d}.png" for step in steps}
    others = ("latest.png", "real.png", "walks.png", "answers.json")
    assert set(names(finished, "samples/")) == {*expected, *(f"samples/{name}" for name in others)}
    read = finished.folder.folder.read
    assert read("samples/latest.png") == read("samples/step-000000012.png")
    assert read("samples/step-000000000.png") != read("samples/step-000000012.png")
    with Image.open(finished.folder.folder.path("samples/latest.png")) as grid:
        assert grid.size == (64, 64)


def test_rows_hold_what_happened(finished):
    rows = read_metrics(finished.folder)
    assert [row["step"] for row in rows] == [3, 6, 9, 12]
    row = rows[-1]
    assert row["images_seen"] == 48
    assert row["d_loss"] == pytest.approx(row["d_loss_real"] + row["d_loss_fake"], rel=1e-5)
    assert {"g_loss", "r1_penalty", "r2_penalty"} <= row.keys()
    assert 0 < rows[0]["seconds"] <= row["seconds"]
    assert row["images_per_sec"] > 0
    assert 0 <= row["data_wait_share"] <= 1


def test_tensorboard_reads_the_event_files(finished):
    scalars, images = {}, []
    for name in names(finished, "tensorboard/"):
        path = str(finished.folder.folder.path(name))
        for event in tf.compat.v1.train.summary_iterator(path):
            for value in event.summary.value:
                if value.HasField("image"):
                    images.append(event.step)
                else:
                    scalars.setdefault(value.tag, []).append(event.step)
    assert scalars["d_loss"] == [3, 6, 9, 12]
    assert scalars["images_per_sec"] == [3, 6, 9, 12]
    assert images == [0, 1, 2, 4, 6, 8, 12]


def test_several_steps_a_call_end_at_every_boundary(tmp_path, finished):
    run = tiny_run.train(tmp_path, "training.steps_per_call=100")
    for prefix in ("samples/", "checkpoints/"):
        mine = [name for name in names(run, prefix) if name.endswith((".png", ".json"))]
        other = [name for name in names(finished, prefix) if name.endswith((".png", ".json"))]
        assert mine == other
    assert [row["step"] for row in read_metrics(run.folder)] == [3, 6, 9, 12]
    for name, array in finished.gan.state().items():
        np.testing.assert_allclose(run.gan.state()[name], array, rtol=0, atol=1e-9)


def test_a_resumed_run_goes_on_and_shows_where_it_stands(tmp_path):
    tiny_run.train(tmp_path, callbacks=[StopAfter(7)])
    run = tiny_run.train(tmp_path)
    assert [row["step"] for row in read_metrics(run.folder)] == [3, 6, 9, 12]
    assert [listed.step for listed in checkpoint.list_all(run.folder)] == [7, 10, 12]
    record = run.folder.read_record()
    assert [start.first_step for start in record.starts] == [0, 7]
    assert (record.status, record.step) == ("finished", 12)
