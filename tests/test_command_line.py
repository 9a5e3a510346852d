"""Commands in messages can be pasted, whatever the addresses look like."""

import shlex

import pytest

from trainer import config, storage
from trainer.callbacks.nonfinite import NonFinite
from trainer.command_line import catgan
from trainer.data.shards import read_manifest
from trainer.errors import CatganError
from trainer.launch import door, same_run
from trainer.run_folder import RunFolder

NASTY = 'it\'s my $HOME; and "more"'


@pytest.fixture
def address(tmp_path):
    return str(tmp_path / NASTY)


@pytest.fixture
def run(address):
    folder = RunFolder(storage.open_folder(address))
    folder.write_config(config.to_yaml(config.from_text("")))
    return folder


def refused(function, *arguments) -> str:
    with pytest.raises(CatganError) as caught:
        function(*arguments)
    return caught.value.remedy


def test_a_shell_reads_the_words_that_were_meant(address):
    assert shlex.split(catgan("resume", address)) == ["catgan", "resume", address]
    assert catgan("resume", "gs://bucket/runs/cats64", "training.steps=40000") == (
        "catgan resume gs://bucket/runs/cats64 training.steps=40000"
    )


@pytest.mark.parametrize("value", [None, True, 3, 2e-4, "", "a b", "null", "#1", "7", [2, 8]])
def test_a_setting_reads_back(value):
    key = "dataset.source"
    text = config.setting(key, value)
    assert shlex.split(catgan("train", text))[-1] == text
    assert config.load.__globals__["_split"](text) == (key, value)


def test_another_config(run, address):
    wanted = config.from_text("", ["training.steps=7", f"log.file={NASTY}"])
    remedy = refused(same_run.same_config, wanted, run)
    settings = [f"log.file={NASTY}", "training.steps=7"]
    assert catgan("resume", address, *settings) in remedy


def test_a_change_that_a_resumption_may_not_make():
    before = config.from_text("")
    remedy = refused(
        same_run.refuse_changes, before, config.override(before, [f"dataset.source={NASTY}"])
    )
    assert catgan("train", "CONFIG", f"dataset.source={NASTY}") in remedy


def test_losses_that_are_not_finite(address):
    advice = NonFinite(config.from_text(""), address, lambda waits: 5)._advice(5, 7)
    assert catgan("resume", address) in advice
    assert catgan("replay", address, "--step", 7) in advice


def test_no_data_set(address):
    remedy = refused(read_manifest, storage.open_folder(address))
    assert remedy == catgan("prepare", "SOURCE", address)


def test_a_finished_run(address):
    more = door._already_finished(RunFolder(storage.open_folder(address)), Finished())
    assert more.resume_command == catgan("resume", address, "training.steps=24")


class Finished:
    step = 12
