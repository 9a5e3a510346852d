"""The function that every training process runs, called as a launcher calls it.

Kills, signals and bit-exact resumes are tested with real processes in `tests/launch`.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from trainer import checkpoint, storage, worker
from trainer import config as configs
from trainer.callbacks.base import StepCallback
from trainer.callbacks.stop_at import StopAt
from trainer.callbacks.stop_requests import StopRequests
from trainer.data import stream
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.errors import CheckpointError, StorageError, TrainingError
from trainer.run_folder import NewRun, RunFolder, read_metrics

YAML = """
precision: float32
dataset: {size_px: 32, lanes: 4}
model: {base_channels: 1, max_channels: 2, latent_dim: 4}
training: {steps: 12, global_batch: 4}
loss: {r1_weight: 0, r2_weight: 0}
checkpoint: {every_steps: 5}
samples: {every_steps: 100, count: 4}
metrics: {every_steps: 3}
log: {tensorboard: false}
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    address = str(tmp_path_factory.mktemp("worker") / "pictures")
    prepare("drawn:16", address, PrepareOptions(size_px=32, val_fraction=0.0))
    return address


class Launch:
    """What a launcher does around the worker: claims the run, opens the data set."""

    def __init__(self, pictures, run, *overrides):
        self.config = configs.from_text(YAML, [f"dataset.address={pictures}", *overrides])
        self.dataset = stream.open_dataset(pictures, cache_mib=16, memory_mib=16, cache_dir="")
        self.folder = RunFolder(storage.open_folder(str(run)))
        self.begun = checkpoint.begin(
            self.folder, NewRun("run", pictures, self.dataset.fingerprint, "hash"), host="here"
        )

    def run(self, *callbacks, **context):
        context.setdefault("stops", StopRequests(catch_signals=False))
        return worker.run(
            self.config,
            self.folder,
            self.dataset,
            self.begun,
            worker.Context(**context),
            lambda gan: list(callbacks),
        )

    def has(self, name):
        return self.folder.folder.exists(name)


class Calls(StepCallback):
    def __init__(self):
        super().__init__()
        self.steps = []

    def after_call(self, step, logs):
        self.steps.append(step)


class Raise(StepCallback):
    def __init__(self, error):
        super().__init__()
        self._error = error

    def after_call(self, step, logs):
        raise self._error


def test_to_the_end_with_all_that_a_run_leaves_behind(pictures, tmp_path):
    launch = Launch(pictures, tmp_path / "run")
    result = launch.run()
    assert (result.status, result.step) == ("finished", 12)
    assert launch.has("generator.keras")
    assert launch.has("samples/latest.png")
    assert launch.has("samples/real.png")
    assert [item.step for item in checkpoint.list_all(launch.folder)] == [5, 10, 12]
    assert [row["step"] for row in read_metrics(launch.folder)] == [3, 6, 9, 12]
    meta = checkpoint.find_newest(launch.folder).meta
    assert (meta["step"], meta["images_seen"], meta["seed"]) == (12, 48, 0)
    assert meta["fingerprint"] == launch.dataset.fingerprint
    assert configs.from_text(meta["config"]) == launch.config


def test_stopped_and_gone_on_with(pictures, tmp_path):
    first = Launch(pictures, tmp_path / "run")
    result = first.run(StopAt(7))
    assert (result.status, result.step, result.cause) == ("stopped", 7, "asked to stop")
    assert not first.has("generator.keras")
    second = Launch(pictures, tmp_path / "run")
    assert second.begun.first_step == 7
    calls = Calls()
    assert second.run(calls).status == "finished"
    assert calls.steps == [8, 9, 10, 11, 12]
    rows = read_metrics(second.folder)
    assert [row["step"] for row in rows] == [3, 6, 9, 12]
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(rows))


def test_calls_of_several_steps_end_where_something_is_due(pictures, tmp_path):
    launch = Launch(pictures, tmp_path / "run", "training.steps_per_call=100")
    calls = Calls()
    launch.run(calls)
    # Grids at 1, 2, 4, 8; rows every 3; checkpoints every 5.
    assert calls.steps == [1, 2, 3, 4, 5, 6, 8, 9, 10, 12]


def test_rows_are_durable_before_a_checkpoint_is_published(pictures, tmp_path):
    launch = Launch(pictures, tmp_path / "run", "metrics.every_steps=1")
    seen = {}

    def look(step):
        names = [entry.name for entry in launch.folder.folder.list(f"checkpoints/step-{step:09d}")]
        rows = [row["step"] for row in read_metrics(launch.folder)]
        seen[step] = names, rows

    launch.run(before_publish=look)
    assert list(seen) == [5, 10, 12]
    for step, (names, rows) in seen.items():
        assert names, "its parts are there"
        assert not any(name.endswith("manifest.json") for name in names)
        assert set(range(1, step + 1)) <= set(rows)


def test_nothing_left_to_train_still_leaves_a_generator(pictures, tmp_path):
    """Killed between the last checkpoint and the end."""
    first = Launch(pictures, tmp_path / "run")
    first.run()
    first.folder.folder.delete("generator.keras")
    second = Launch(pictures, tmp_path / "run")
    assert second.run().status == "finished"
    assert second.has("generator.keras")


def test_eager_steps_are_the_same_steps(pictures, tmp_path):
    penalties = ["loss.r1_weight=1", "loss.r2_weight=1", "loss.penalty_every_steps=1"]
    eager, traced = (Launch(pictures, tmp_path / name, *penalties) for name in "ab")
    eager.run(StopAt(3), eager=True)
    traced.run(StopAt(3))
    states = [checkpoint.find_newest(launch.folder).load() for launch in (eager, traced)]
    for name, array in states[0].items():
        np.testing.assert_allclose(array, states[1][name], rtol=2e-3, atol=2e-3, err_msg=name)


def test_a_time_limit_is_the_cause(pictures, tmp_path):
    launch = Launch(pictures, tmp_path / "run", "training.steps=100000")
    stops = StopRequests(max_mins=0.2 / 60, catch_signals=False)
    result = launch.run(stops=stops)
    assert result.status == "stopped"
    assert "training.max_mins" in result.cause
    assert checkpoint.find_newest(launch.folder).step == result.step


def test_out_of_memory_names_what_fits(pictures, tmp_path):
    launch = Launch(pictures, tmp_path / "run")
    full = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    with pytest.raises(TrainingError, match="memory") as caught:
        launch.run(Raise(full))
    assert "training.micro_batch=2" in str(caught.value)


@pytest.mark.parametrize("error", [StorageError("the disk is gone"), KeyError("odd")])
def test_an_error_is_passed_on_as_it_is(pictures, tmp_path, error):
    launch = Launch(pictures, tmp_path / "run")
    with pytest.raises(type(error)) as caught:
        launch.run(Raise(error))
    assert caught.value is error


def test_a_start_that_lost_its_run_does_not_finish_it(pictures, tmp_path):
    """Though every step that it would publish is there already."""
    first = Launch(pictures, tmp_path / "run")
    second = Launch(pictures, tmp_path / "run")
    assert second.run().status == "finished"
    with pytest.raises(CheckpointError, match="start 1 on here lost this run"):
        first.run()
    assert second.folder.read_record().starts[0].number == 1
