"""Pointers to published checkpoints, and what Ray makes of them."""

import json

import pytest
import ray
from ray.train import Checkpoint, CheckpointConfig, Result, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from tests.checkpoint.conftest import begin, save
from trainer import checkpoint, storage
from trainer.checkpoint.format import Manifest
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


def pointed(run: RunFolder, step: int) -> dict:
    """What a pointer says that lies where Ray would have it."""
    pointer.write_pointer(run.folder.child("ray/start-0001/pointed"), run, step)
    return json.loads(run.folder.read("ray/start-0001/pointed/pointer.json"))


def test_it_is_small_and_says_where_to(run):
    written = pointed(run, 20)
    assert written["run"] == run.address
    assert (written["step"], written["start"], written["format_version"]) == (20, 1, 1)
    assert written["manifest_sha256"] == pointer.manifest_hash(manifest_of(run, 20))
    assert set(written) == set(pointer.Pointer.model_fields)


def manifest_of(run: RunFolder, step: int) -> Manifest:
    return checkpoint.open_step(run, step).manifest


def test_adopting_a_checkpoint_does_not_change_what_it_is(run):
    old = pointed(run, 30)
    assert begin(run).first_step == 30, "a second start writes the manifest anew"
    assert manifest_of(run, 30).adopted_by == (2,)
    assert pointer.manifest_hash(manifest_of(run, 30)) == old["manifest_sha256"]


def test_a_step_that_was_trained_again_is_another_checkpoint(run):
    old = pointed(run, 30)
    second = begin(run, from_step=20).start
    save(run, second, 30, seed=1)
    new = pointed(run, 30)
    assert (old["start"], new["start"]) == (1, 2)
    assert old["manifest_sha256"] != new["manifest_sha256"]


def test_only_what_is_published_can_be_pointed_to(run):
    with pytest.raises(CheckpointError, match="no published checkpoint step-000000077"):
        pointer.write_pointer(run.folder.child("ray/x"), run, 77)
    assert not run.folder.exists("ray/x/pointer.json")


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
def test_ray_manages_pointers_and_no_checkpoint(kind, request, tmp_path):
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
    assert step_of(result.checkpoint) == 30
    # Ray kept one of what it manages, and had no say over the checkpoints.
    left = [entry.name for entry in run.folder.list("ray/") if "step-" in entry.name]
    assert left == ["ray/start-0001/step-000000030/pointer.json"]
    assert [item.step for item in checkpoint.list_all(run) if item.counts] == [10, 20, 30]
    restored = Result.from_path(f"{path}/start-0001", storage_filesystem=filesystem)
    assert step_of(restored.checkpoint) == 30


def step_of(ray_checkpoint: Checkpoint) -> int:
    """The step that a pointer names, read as Ray would hand it out."""
    with ray_checkpoint.filesystem.open_input_stream(f"{ray_checkpoint.path}/pointer.json") as file:
        return json.loads(file.read())["step"]
