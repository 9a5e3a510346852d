"""`catgan inspect`: what is there, and every kind of damage."""

import json
import shutil

import pytest

from tests.cli.bad_input import flip


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of a data set and a finished run on it."""
    for name in ("runs", "datasets"):
        shutil.copytree(trained / name, tmp_path / name)
    return tmp_path


def part_of(folder, step):
    (part,) = (folder / f"runs/tiny/checkpoints/step-{step:09d}").glob("*.safetensors")
    return part


def test_a_whole_data_set(catgan, copied):
    ended = catgan("inspect", copied / "datasets/tiny")
    assert ended.code == 0, ended.err
    assert "whole" in ended.out.splitlines()[0]
    assert "36 for training, 4 for validation" in ended.out
    found = catgan("inspect", copied / "datasets/tiny", "--json").answer
    assert (found["kind"], found["whole"], found["train"]) == ("dataset", True, 36)


def test_a_whole_run_and_its_checkpoint(catgan, copied):
    found = catgan("inspect", copied / "runs/tiny", "--json").answer
    assert (found["kind"], found["whole"], found["problems"]) == ("run", True, [])
    assert [checkpoint["step"] for checkpoint in found["checkpoints"]] == [2, 4]
    assert found["dataset_state"].startswith(("there", "not usable"))
    text = catgan("inspect", copied / "runs/tiny")
    assert "step-000000004" in text.out
    one = catgan("inspect", copied / "runs/tiny/checkpoints/step-000000002", "--json").answer
    assert (one["kind"], one["step"], one["counts"]) == ("checkpoint", 2, True)
    assert "config" not in one["meta"]
    assert {"generator", "discriminator", "ema"} <= set(one["groups"])


def damage_shard(folder):
    flip(next((folder / "datasets/tiny").glob("train-00003*")))
    return folder / "datasets/tiny", 3, "train-00003-of-00016.tfrecord has SHA-256"


def cut_shard(folder):
    path = next((folder / "datasets/tiny").glob("train-00004*"))
    path.write_bytes(path.read_bytes()[:-1])
    return folder / "datasets/tiny", 3, "train-00004-of-00016.tfrecord has"


def remove_shard(folder):
    next((folder / "datasets/tiny").glob("train-00005*")).unlink()
    return folder / "datasets/tiny", 3, "train-00005-of-00016.tfrecord is missing"


def damage_part(folder):
    flip(part_of(folder, 4))
    return folder / "runs/tiny", 5, "step-000000004"


def cut_part(folder):
    path = part_of(folder, 2)
    path.write_bytes(path.read_bytes()[:-7])
    return folder / "runs/tiny/checkpoints/step-000000002", 5, "its manifest says"


def remove_part(folder):
    part_of(folder, 4).unlink()
    return folder / "runs/tiny/checkpoints/step-000000004", 5, "is missing"


def remove_config(folder):
    (folder / "runs/tiny/config.yaml").unlink()
    return folder / "runs/tiny", 5, "config.yaml is missing"


@pytest.mark.parametrize(
    "damage",
    [damage_shard, cut_shard, remove_shard, damage_part, cut_part, remove_part, remove_config],
)
def test_damage_is_named_and_has_an_exit_code(catgan, copied, damage):
    address, code, part = damage(copied)
    ended = catgan("inspect", address)
    assert ended.code == code
    assert "NOT whole" in ended.out
    assert part in ended.err
    assert "  do: " in ended.err
    answer = catgan("inspect", address, "--json").answer
    assert answer["whole"] is False
    assert any(part in problem for problem in answer["problems"])


def test_a_stray_shard_is_told_but_harmless(catgan, copied):
    (copied / "datasets/tiny/train-00000-of-00001.tfrecord").write_bytes(b"x")
    ended = catgan("inspect", copied / "datasets/tiny")
    assert ended.code == 0
    assert "not part of it" in ended.out


def test_a_run_whose_data_set_is_gone_is_whole_all_the_same(catgan, copied):
    record = copied / "runs/tiny/run.json"
    said = json.loads(record.read_text())
    said["dataset"]["address"] = str(copied / "gone")
    record.write_text(json.dumps(said))
    found = catgan("inspect", copied / "runs/tiny", "--json")
    assert found.code == 0
    assert found.answer["dataset_state"].startswith("not usable: there is no data set")


def test_a_checkpoint_taken_out_of_its_run(catgan, copied):
    shutil.move(copied / "runs/tiny/checkpoints/step-000000004", copied / "lone")
    ended = catgan("inspect", copied / "lone")
    assert ended.code == 5
    assert "outside of a run" in ended.err


def test_every_damaged_shard_is_named(catgan, copied):
    shards = sorted((copied / "datasets/tiny").glob("train-*.tfrecord"))[:8]
    for shard in shards:
        flip(shard)
    ended = catgan("inspect", copied / "datasets/tiny")
    assert ended.code == 3
    assert all(shard.name in ended.out for shard in shards)
    assert "makes anew what is not whole" in ended.err


def test_an_evaluation_that_is_none_is_a_problem_of_the_run(catgan, copied):
    folder = copied / "runs/tiny/evaluations"
    folder.mkdir(exist_ok=True)
    (folder / "step-000000004.json").write_text('{"step": 4, "images_seen": 16}')
    ended = catgan("inspect", copied / "runs/tiny")
    assert ended.code == 5
    assert "evaluations/step-000000004.json lacks figures" in ended.out
