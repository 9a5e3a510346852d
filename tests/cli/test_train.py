"""Training, going on, drawing and looking, from the command line."""

import shutil

import pytest

from tests.cli.bad_input import flip
from trainer.cli import main
from trainer.command_line import catgan as command


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run, at `runs/tiny` in the command's folder."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.copytree(trained / "datasets", tmp_path / "datasets")
    shutil.copy(trained / "tiny.yaml", tmp_path)
    return tmp_path / "runs" / "tiny"


def test_standard_output_is_the_address_alone(catgan, tiny, tmp_path):
    ended = catgan("train", tiny, "training.steps=2")
    assert ended.code == 0, ended.err
    assert ended.out == f"{tmp_path}/runs/tiny\n"
    assert "finished: all 2 steps are done" in ended.err
    assert (tmp_path / "runs/tiny/generator.keras").is_file()


def test_a_finished_run_says_so(catgan, run):
    ended = catgan("train", "tiny.yaml", "--json")
    assert ended.code == 0, ended.err
    assert ended.answer["status"] == "already finished"
    assert (ended.answer["step"], ended.answer["run"]) == (4, str(run))


def test_a_run_stopped_by_its_time_limit_says_how_to_go_on(catgan, tiny, tmp_path):
    ended = catgan("train", tiny, "training.steps=100000", "training.max_mins=0.01")
    assert ended.code == 0, ended.err
    assert f"go on: catgan resume {tmp_path}/runs/tiny" in ended.err
    assert "training.max_mins" in ended.err.splitlines()[-1]


def test_another_config_on_a_run_is_refused_with_both_remedies(catgan, run):
    ended = catgan("train", "tiny.yaml", "loss.r1_weight=7")
    assert ended.code == 2
    assert "loss.r1_weight (1.0 there, 7.0 now)" in ended.err
    assert "catgan resume" in ended.err
    assert "run=" in ended.err


def test_resume_goes_on_from_the_address_alone(catgan, run):
    ended = catgan("resume", run, "training.steps=6")
    assert ended.code == 0, ended.err
    assert ended.out == f"{run}\n"
    found = catgan("inspect", run, "--json").answer
    assert (found["status"], found["step"], found["whole"]) == ("finished", 6, True)
    assert [start["first_step"] for start in found["starts"]] == [0, 4]
    assert found["starts"][1]["overrides"] == {"training.steps": "6"}


@pytest.mark.parametrize("where", ["--from", "address"])
def test_resume_from_an_older_checkpoint(catgan, run, where):
    older = ["--from", "step-000000002"] if where == "--from" else []
    address = run if older else run / "checkpoints" / "step-000000002"
    ended = catgan("resume", address, *older)
    assert ended.code == 0, ended.err
    starts = catgan("inspect", run, "--json").answer["starts"]
    assert starts[-1]["first_step"] == 2


def test_the_run_option_is_the_run_key(catgan, tiny, tmp_path):
    for number, words in enumerate((["--run", "a: b"], ["--out", "a: b"], ["run='a: b'"])):
        found = catgan("train", tiny, *words, "--dry-run", "--json").answer
        assert found["addresses"]["run"] == f"{tmp_path}/a: b", number


def test_a_run_goes_on_once_its_damaged_shard_is_whole_again(catgan, run, tmp_path):
    """A flipped bit shows when the shard is read; what was trained until then is not lost."""
    shard = tmp_path / "datasets/tiny/train-00007-of-00016.tfrecord"
    flip(shard)
    more = ["resume", run, "training.steps=6", f"dataset.address={shard.parent}"]
    ended = catgan(*more)
    assert ended.code == 3
    assert f"{shard} is damaged" in ended.err
    assert command("inspect", shard.parent) in ended.err
    flip(shard)
    assert catgan(*more).code == 0
    starts = catgan("inspect", run, "--json").answer["starts"]
    assert [start["first_step"] for start in starts] == [0, 4, 4]


def test_generate_writes_seeds_and_a_grid(catgan, run, tmp_path):
    ended = catgan("generate", run, "--out", "drawn", "--count", 3, "--seed", 7, "--grid", "--json")
    assert ended.code == 0, ended.err
    names = [f"seed-{seed:09d}.png" for seed in (7, 8, 9)]
    assert ended.answer == {"out": f"{tmp_path}/drawn", "files": [*names, "grid.png"]}
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["grid.png", *names]


def test_verbose_is_no_part_of_the_answer(catgan, run):
    assert catgan("train", "tiny.yaml", "--verbose").out == f"{run}\n"


def test_an_interrupt_while_pictures_are_looked_at(catgan, monkeypatch, tiny):
    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.config.load", interrupted)
    assert catgan("train", tiny).code == 130


def test_every_command_is_there():
    for doors in main.SECTIONS.values():
        for name, door in doors.items():
            assert main._load(door).name == name
