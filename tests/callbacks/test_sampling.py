"""Grids that a kill left out."""

from tests.callbacks import tiny_run
from trainer.callbacks import sampling
from trainer.run_folder import names


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
