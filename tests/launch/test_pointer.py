"""Pointers to published checkpoints, and the way back from Ray's result to the weights."""

import json

import numpy as np
import pyarrow.fs
import pytest
import ray
from ray.train import Checkpoint, CheckpointConfig, Result, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from tests.checkpoint.conftest import begin, save, state_of
from trainer import checkpoint, storage
from trainer.errors import CheckpointError
from trainer.launch import pointer
from trainer.launch.ray_storage import ray_storage
from trainer.run_folder import RunFolder


@pytest.fixture(params=["disk", "bucket"])
def run(request, tmp_path) -> RunFolder:
    """A run with checkpoints of steps 10, 20 and 30, written by its first start."""
    if request.param == "bucket":
        address = f"{request.getfixturevalue('bucket').address}/runs/cats"
    else:
        address = str(tmp_path / "run")
    run = RunFolder(storage.open_folder(address))
    save(run, begin(run).start, 10, 20, 30, keep_last=3)
    return run


def pointed(run: RunFolder, step: int) -> Checkpoint:
    """A pointer where Ray would have it."""
    pointer.write_pointer(run.folder.child("ray/start-0001/pointed"), run, step)
    path, filesystem = ray_storage(run.address)
    return Checkpoint(
        f"{path}/start-0001/pointed", filesystem=filesystem or pyarrow.fs.LocalFileSystem()
    )


def test_it_leads_to_the_checkpoint(run):
    found = pointer.open_pointer(pointed(run, 20))
    assert found.step == 20
    assert found.run.address == run.address
    np.testing.assert_array_equal(
        found.load()["ema/dense/kernel"], state_of(20)["ema/dense/kernel"]
    )


def test_it_is_small_and_says_where_to(run):
    pointed(run, 20)
    written = json.loads(run.folder.read("ray/start-0001/pointed/pointer.json"))
    assert written["run"] == run.address
    assert (written["step"], written["start"], written["format_version"]) == (20, 1, 1)
    assert set(written) == set(pointer.Pointer.model_fields)


def test_the_weights_without_the_optimizers(run):
    weights = pointer.weights_of(pointed(run, 30))
    assert {name.split("/")[0] for name in weights} == {"generator", "discriminator", "ema"}
    assert list(pointer.weights_of(pointed(run, 30), ("ema/",))) == ["ema/dense/kernel"]


def test_adopting_a_checkpoint_does_not_change_what_it_is(run):
    old = pointed(run, 30)
    assert begin(run).first_step == 30, "a second start writes the manifest anew"
    found = pointer.open_pointer(old)
    assert found.manifest.adopted_by == (2,)
    assert pointer.manifest_hash(found.manifest) == pointer.read_pointer(old).manifest_sha256


def test_a_deleted_checkpoint_is_named(run):
    old = pointed(run, 10)
    save(run, 1, 40, keep_last=1)
    with pytest.raises(CheckpointError) as error:
        pointer.open_pointer(old)
    assert "checkpoints/step-000000010" in error.value.what
    assert "does not exist any more" in error.value.what
    assert f"catgan inspect {run.address}" in error.value.remedy


def test_parts_that_a_rule_of_the_bucket_deleted(run):
    old = pointed(run, 20)
    for entry in list(run.folder.list("checkpoints/step-000000020/start-")):
        run.folder.delete(entry.name)
    with pytest.raises(CheckpointError, match="is missing"):
        pointer.weights_of(old)


def test_a_step_that_was_trained_again_is_another_checkpoint(run):
    old = pointed(run, 30)
    second = begin(run, from_step=20).start
    save(run, second, 30, seed=1)
    with pytest.raises(CheckpointError, match="start 2 wrote this one, start 1 the one that"):
        pointer.open_pointer(old)


def test_only_what_is_published_can_be_pointed_to(run):
    with pytest.raises(CheckpointError, match="no published checkpoint step-000000077"):
        pointer.write_pointer(run.folder.child("ray/x"), run, 77)
    assert not run.folder.exists("ray/x/pointer.json")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, r"holds no pointer\.json"),
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "is no pointer"),
        (b'{"uri": "gs://elsewhere/x"}', "is no pointer"),
        ({"format_version": 2}, r"is no pointer \(format_version"),
        ({"step": -1}, r"is no pointer \(step"),
        ({"manifest_sha256": "abc"}, r"is no pointer \(manifest_sha256"),
    ],
)
def test_what_is_no_pointer(run, content, complaint):
    old = pointed(run, 20)
    name = "ray/start-0001/pointed/pointer.json"
    if content is None:
        run.folder.delete(name)
    elif isinstance(content, dict):
        run.folder.write(name, json.dumps(json.loads(run.folder.read(name)) | content).encode())
    else:
        run.folder.write(name, content)
    with pytest.raises(CheckpointError, match=complaint) as error:
        pointer.open_pointer(old)
    assert error.value.remedy


def train_function(config: dict) -> list[str]:
    """Publishes and reports as a worker does; returns the pointers of each moment."""
    run = RunFolder(storage.open_folder(config["run"]))
    writer = ray.train.get_context().get_world_rank() == config["writer"]
    for step in (10, 20, 30):
        if writer:
            save(run, 1, step, keep_last=9)
            assert pointer.prepare_pointer(run, step)
        pointer.report(run, step, {"step": step, "loss": step / 10}, writer=writer)
    pointer.report(run, 30, {"step": 30, "loss": -1.0}, writer=writer)  # Ray has it already
    pointer.report(run, None, {"loss": -3.0}, writer=writer)
    pointer.report(run, 40, {"step": 40, "loss": -2.0}, writer=writer)  # of which there is none
    return [entry.name for entry in run.folder.list("ray/") if "step-" in entry.name]


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["disk", "bucket"])
def test_ray_manages_pointers_and_its_result_leads_to_the_weights(kind, request, tmp_path):
    if kind == "bucket":
        bucket = request.getfixturevalue("bucket")
        address = f"{bucket.address}/runs/cats"
        bucket.faults.add("status", status=503, every=5)
        bucket.faults.add("lose_answer", every=7)
        bucket.faults.add("stall", secs=1.0, every=9)
    else:
        address = str(tmp_path / "run")
    run = RunFolder(storage.open_folder(address))
    assert begin(run).start == 1
    path, filesystem = ray_storage(address)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        result = DataParallelTrainer(
            train_function,
            train_loop_config={"run": address, "writer": int(kind == "bucket")},
            scaling_config=ScalingConfig(num_workers=2),
            run_config=RunConfig(
                name="start-0001",
                storage_path=path,
                storage_filesystem=filesystem,
                checkpoint_config=CheckpointConfig(num_to_keep=1),
            ),
        ).fit()
    finally:
        ray.shutdown()
    assert result.metrics == {"step": 30, "loss": 3.0}
    assert pointer.open_pointer(result.checkpoint).step == 30
    assert_is_weights(pointer.weights_of(result.checkpoint), 30)
    # Ray kept one of what it manages, and had no say over the checkpoints.
    left = [entry.name for entry in run.folder.list("ray/") if "step-" in entry.name]
    assert left == ["ray/start-0001/step-000000030/pointer.json"]
    assert [item.step for item in checkpoint.list_all(run) if item.counts] == [10, 20, 30]
    restored = Result.from_path(f"{path}/start-0001", storage_filesystem=filesystem)
    assert pointer.read_pointer(restored.checkpoint).step == 30


def assert_is_weights(weights: dict[str, np.ndarray], step: int) -> None:
    expected = {n: a for n, a in state_of(step).items() if n.startswith(pointer.WEIGHTS)}
    assert sorted(weights) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)
