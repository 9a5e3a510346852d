"""Commands that a message suggests for what was typed."""

import pytest

from trainer.command_line import catgan as command


def test_a_folder_where_a_config_was_expected(catgan, tmp_path):
    (tmp_path / "my cats").mkdir()
    ended = catgan("train", "my cats")
    assert ended.code == 2
    assert command("train", "--pictures", "my cats") in ended.err
    assert command("resume", "my cats") in ended.err


def test_an_override_where_a_config_was_expected(catgan):
    ended = catgan("train", "run=my run")
    assert command("train", "configs/debug.yaml", "run=my run") in ended.err


# Of each, the arguments besides the config.
TAKING_A_CONFIG = {
    "debug": [],
    "doctor": [],
    "submit": [],
    "tune": ["--over", "seed=1,2"],
    "verify-resume": [],
}


@pytest.mark.parametrize("name", TAKING_A_CONFIG)
def test_other_commands_suggest_themselves(catgan, tmp_path, name):
    (tmp_path / "my cats").mkdir()
    more = TAKING_A_CONFIG[name]
    said = catgan(name, "my cats", *more).err
    assert command(name, "my cats/config.yaml") in said
    assert command(name, "configs/cats64.yaml", "dataset.source=my cats") in said
    assert command(name, "configs/debug.yaml", "seed=5") in catgan(name, "seed=5", *more).err


def test_a_config_where_a_run_was_expected(catgan):
    assert command("train", "my cats.yaml") in catgan("resume", "my cats.yaml").err


def test_two_checkpoints_of_a_run(catgan):
    ended = catgan("resume", "my run/checkpoints/step-000000010", "--from", "20")
    assert command("resume", "my run", "--from", "20") in ended.err


def test_no_data_set(catgan, tiny, tmp_path):
    ended = catgan("train", tiny, "dataset.source=", "dataset.address=my cats")
    assert ended.code == 3
    assert command("prepare", "SOURCE", tmp_path / "my cats") in ended.err
