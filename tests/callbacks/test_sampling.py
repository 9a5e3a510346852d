"""Grids that a kill left out."""

import pytest

from tests.callbacks import tiny_run
from trainer import checkpoint
from trainer.callbacks import sampling
from trainer.callbacks.base import StepCallback
from trainer.config import to_yaml
from trainer.launch import door
from trainer.run_folder import names


class KilledBeforeTheLastGrid(StepCallback):
    """Publishes the last step as training would, and dies before its grid is drawn."""

    def after_call(self, step, logs):
        if step == 12:
            run = tiny_run.run_folder(self.folder)
            meta = {"images_seen": 48, "config": to_yaml(self.model.config)}
            with checkpoint.CheckpointStore(run, 1) as store:
                store.save(step, self.model.state(), meta)
            raise SystemExit


def test_a_run_whose_last_grid_a_kill_left_out_has_it_after_all(tmp_path, unbroken):
    killed = KilledBeforeTheLastGrid()
    killed.folder = tmp_path
    with pytest.raises(SystemExit):
        tiny_run.train(tmp_path, callbacks=[killed])
    folder = tiny_run.run_folder(tmp_path).folder
    assert not folder.exists(names.sample(12))
    assert door.train(tiny_run.tiny_config(tmp_path)).status == "finished"
    expected = unbroken.folder.folder.read(names.sample(12))
    assert folder.read(names.sample(12)) == folder.read(names.LATEST_SAMPLE) == expected


@pytest.fixture
def unbroken(tmp_path_factory):
    return tiny_run.train(tmp_path_factory.mktemp("unbroken"))


def test_a_last_grid_that_a_kill_left_out_is_drawn(tmp_path):
    run = tiny_run.train(tmp_path, "training.steps=2")
    folder, config = run.folder.folder, tiny_run.tiny_config(tmp_path, "training.steps=2")
    last = folder.read(names.sample(2))
    folder.delete(names.sample(2))
    folder.write(names.LATEST_SAMPLE, folder.read(names.sample(1)))
    assert sampling.draw_missing(folder, config, run.gan.ema_generator, 2)
    assert folder.read(names.sample(2)) == folder.read(names.LATEST_SAMPLE) == last


def test_a_grid_that_is_there_is_left_alone(tmp_path):
    run = tiny_run.train(tmp_path, "training.steps=2")
    folder, config = run.folder.folder, tiny_run.tiny_config(tmp_path, "training.steps=2")
    folder.write(names.sample(2), b"as it was")
    assert not sampling.draw_missing(folder, config, run.gan.ema_generator, 2)
    assert folder.read(names.sample(2)) == b"as it was"
