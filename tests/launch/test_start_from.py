"""A new run from another's networks: which weights, what is recorded, what is refused."""

import shutil

import numpy as np
import pytest

from tests.callbacks import tiny_run
from trainer import inspection
from trainer.callbacks.base import StepCallback
from trainer.errors import CheckpointError, ConfigError
from trainer.gan.state import NETWORKS


class First(StepCallback):
    """The whole state as a start finds it."""

    def begin(self, step):
        self.step, self.state = step, self.model.state()


@pytest.fixture(scope="module")
def kept_parent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent")
    tiny_run.train(folder)
    return folder


@pytest.fixture
def parent(kept_parent, tmp_path):
    """A finished run of 12 steps with the checkpoints 5, 10 and 12, in a folder of its own."""
    shutil.copytree(kept_parent / "run", tmp_path / "parent")
    shutil.copytree(kept_parent / "data", tmp_path / "data")
    return tmp_path / "parent"


def networks(state):
    return {name: array for name, array in state.items() if name.startswith(NETWORKS)}


def saved(folder, step):
    from trainer import checkpoint

    return checkpoint.open_address(f"{folder}/checkpoints/step-{step:09d}").load()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_networks_are_taken_over_and_all_else_begins_anew(parent, tmp_path):
    first = First()
    child = tiny_run.train(tmp_path, f"training.start_from={parent}", callbacks=[first])
    theirs = saved(parent, 12)
    assert_same(networks(first.state), networks(theirs))
    assert first.step == 0
    for name, array in first.state.items():
        if "_optimizer/" in name:
            assert not array.any(), name
    assert child.outcome.status == "finished"
    assert child.outcome.step == 12


def test_the_average_goes_on_instead_of_being_forgotten(parent, tmp_path):
    """Without a ramp: one step of 4 pictures moves it by a 1 - 0.5^(4/15000) of the way."""
    keys = [f"training.start_from={parent}", "training.steps=1", "checkpoint.every_steps=1"]
    child = tiny_run.train(tmp_path, *keys)
    before, after = saved(parent, 12), child.gan.state()
    name = next(n for n in after if n.startswith("ema/") and n.endswith("kernel"))
    beta = 0.5 ** (4 / 15_000)
    trained = after[name.replace("ema/", "generator/")]
    np.testing.assert_allclose(after[name], beta * before[name] + (1 - beta) * trained, rtol=1e-12)


def test_one_checkpoint_is_pinned_and_recorded(parent, tmp_path):
    wanted = f"{parent}/checkpoints/step-000000010"
    first = First()
    child = tiny_run.train(tmp_path, f"training.start_from={wanted}", callbacks=[first])
    assert_same(networks(first.state), networks(saved(parent, 10)))
    origin = child.folder.read_record().origin
    assert (origin["address"], origin["step"], origin["images_seen"]) == (wanted, 10, 40)
    assert len(origin["parts_sha256"]) == 64
    assert inspection.inspect(child.folder.address).facts["origin"] == origin


def test_the_newest_now_is_pinned_in_the_saved_config(parent, tmp_path):
    child = tiny_run.train(tmp_path, f"training.start_from={parent}")
    pinned = f"start_from: {parent}/checkpoints/step-000000012"
    assert pinned in child.folder.read_config()
    # The same command again is the same run, also after the other run went on.
    again = tiny_run.door.train(
        tiny_run.tiny_config(tmp_path, f"training.start_from={parent}"), tiny_run.Options()
    )
    assert again.status == "already finished"


def test_a_resumed_run_asks_the_other_no_more_and_is_the_same(parent, tmp_path):
    whole = tiny_run.train(tmp_path, f"training.start_from={parent}").gan.state()
    (tmp_path / "run").rename(tmp_path / "whole")

    class Kill(StepCallback):
        def after_call(self, step, logs):
            if step == 7:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        tiny_run.train(tmp_path, f"training.start_from={parent}", callbacks=[Kill()])
    shutil.rmtree(parent)
    tiny_run.door.resume(str(tmp_path / "run"))
    assert_same(saved(tmp_path / "run", 12), whole)


def test_a_run_begins_anew_only_with_the_same_weights(parent, tmp_path):
    """Killed before its first checkpoint, while the other run trained that step again."""

    class Kill(StepCallback):
        def after_call(self, step, logs):
            raise RuntimeError("killed")

    wanted = f"training.start_from={parent}/checkpoints/step-000000010"
    with pytest.raises(RuntimeError):
        tiny_run.train(tmp_path, wanted, callbacks=[Kill()])
    (tmp_path / "run").rename(tmp_path / "child")
    shutil.rmtree(parent)
    other = tiny_run.train(tmp_path, "generator_optimizer.rate=1e-3")
    (tmp_path / "run").rename(parent)
    (tmp_path / "child").rename(tmp_path / "run")
    assert other.outcome.status == "finished"
    with pytest.raises(CheckpointError, match="other weights than this run was begun with"):
        tiny_run.door.resume(str(tmp_path / "run"))


def test_what_it_began_with_cannot_change_on_the_way(parent, tmp_path):
    tiny_run.train(tmp_path)
    with pytest.raises(ConfigError, match="it decides the first weights"):
        tiny_run.door.resume(str(tmp_path / "run"), [f"training.start_from={parent}"])


def test_other_networks_are_refused_before_anything_is_written(parent, tmp_path):
    keys = ["model.latent_dim=8", "model.generator_norm=batch"]
    with pytest.raises(ConfigError) as caught:
        tiny_run.train(tmp_path, f"training.start_from={parent}", *keys)
    assert "model.latent_dim is 4 there, 8 here" in caught.value.what
    assert "model.latent_dim=4 model.generator_norm=none" in caught.value.remedy
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("name", ["nowhere", "parent/checkpoints/step-000000011"])
def test_what_is_not_there_is_refused_before_anything_is_written(parent, tmp_path, name):
    with pytest.raises(CheckpointError):
        tiny_run.train(tmp_path, f"training.start_from={tmp_path / name}")
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_damaged_checkpoint_is_refused(parent, tmp_path):
    (part,) = (parent / "checkpoints/step-000000010").glob("*.safetensors")
    data = bytearray(part.read_bytes())
    data[-50] ^= 1
    part.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"step-000000010"):
        tiny_run.train(tmp_path, f"training.start_from={parent}/checkpoints/step-000000010")


def test_a_submission_is_checked_here_before_it_costs_anything(parent, tmp_path):
    from trainer.launch.submit import plan_training

    def plan(*keys):
        config = tiny_run.tiny_config(tmp_path, *keys)
        return plan_training(config, tmp_path / "tiny.yaml", shares_disk=False)

    with pytest.raises(ConfigError, match="folder of this machine"):
        plan("training.start_from=parent")
    with pytest.raises(ConfigError, match="other networks"):
        plan(f"training.start_from={parent}", "model.latent_dim=8")
    with pytest.raises(CheckpointError):
        plan(f"training.start_from={tmp_path / 'nowhere'}")
    assert plan(f"training.start_from={parent}").config.training.start_from == str(parent)


def test_a_strength_that_is_in_checkpoints_cannot_come_or_go_on_resume(tmp_path):
    keys = ["loss.name=hinge", "augment.kinds=[colour]"]
    tiny_run.train(tmp_path, *keys)
    with pytest.raises(ConfigError, match="part of every checkpoint"):
        tiny_run.door.resume(str(tmp_path / "run"), ["augment.strength=adaptive"])
