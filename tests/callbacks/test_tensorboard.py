"""Event files in a folder and in a bucket."""

import numpy as np
import pytest
import tensorflow as tf

from tests.callbacks import tiny_run
from trainer import storage
from trainer.callbacks.tensorboard import EventFile
from trainer.errors import StorageError


def scalar(step):
    value = tf.compat.v1.Summary.Value(tag="d_loss", simple_value=float(step))
    return tf.compat.v1.Event(step=step, summary=tf.compat.v1.Summary(value=[value]))


def read(folder, tmp_path):
    """Steps of all scalars, part by part, read by TensorFlow."""
    parts = []
    for number, entry in enumerate(folder.list()):
        local = tmp_path / f"copy-{number}"
        local.write_bytes(folder.read(entry.name))
        events = list(tf.compat.v1.train.summary_iterator(str(local)))
        assert events[0].file_version == "brain.Event:2"
        parts.append([event.step for event in events if event.summary.value])
    return parts


@pytest.fixture(params=["folder", "bucket"])
def folder(request, tmp_path):
    if request.param == "folder":
        return storage.open_folder(str(tmp_path / "events"))
    bucket = request.getfixturevalue("bucket")
    return storage.open_folder(f"{bucket.address}/events")


def test_parts_grow_until_they_are_large(folder, tmp_path):
    file = EventFile(folder, "start-0001", part_bytes=200)
    for step in range(10):
        file.add(scalar(step))
        file.flush()
    file.flush()
    parts = read(folder, tmp_path)
    assert [step for part in parts for step in part] == list(range(10))
    assert 1 < len(parts) < 10


def test_what_could_not_be_written_is_written_the_next_time(tmp_path):
    blocked = tmp_path / "events"
    blocked.write_text("a file where the folder should be")
    folder = storage.open_folder(str(blocked))
    file = EventFile(folder, "start-0001")
    file.add(scalar(1))
    with pytest.raises(StorageError, match="event file"):
        file.flush()
    blocked.unlink()
    file.add(scalar(2))
    file.flush()
    assert read(folder, tmp_path) == [[1, 2]]


def test_a_whole_run_in_a_bucket(bucket, tmp_path):
    run = tiny_run.train(tmp_path, f"run={bucket.address}/runs/tiny")
    assert run.outcome.status == "finished"
    folder = storage.open_folder(f"{bucket.address}/runs/tiny")
    samples = [entry.name for entry in folder.list("samples/")]
    assert "samples/latest.png" in samples
    assert "samples/step-000000000.png" in samples
    (steps,) = read(folder.child("tensorboard"), tmp_path)
    assert sorted(set(steps)) == [0, 1, 2, 3, 4, 6, 8, 9, 12]


def test_a_grid_is_kept_as_png(tmp_path):
    from trainer.callbacks.tensorboard import TensorBoard

    folder = storage.open_folder(str(tmp_path))
    board = TensorBoard(folder, 1)
    board.begin(7)
    grid = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    board.grid(8, grid)
    board.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    _, start, event = tf.compat.v1.train.summary_iterator(str(path))
    assert start.session_log.status == tf.compat.v1.SessionLog.START
    assert start.step == 8  # later points of an earlier start are hidden
    image = event.summary.value[0].image
    assert np.array_equal(tf.io.decode_png(image.encoded_image_string), grid)
