"""`benchmarks/prepare_memory.py` measures real preparing, in the form of the other tables."""

import subprocess
import sys
import zipfile

import pytest

from benchmarks import prepare_memory, run_all, timing


@pytest.mark.parametrize("kind", prepare_memory.KINDS)
def test_sources_hold_as_many_pictures_as_asked_for(tmp_path, kind):
    from trainer.data.source import open_source

    source = prepare_memory.make_source(kind, 3, tmp_path)
    assert len(list(open_source(source, tmp_path / "work").items())) == 3


def test_no_two_pictures_are_alike(tmp_path):
    with zipfile.ZipFile(prepare_memory.make_source("zip", 20, tmp_path)) as archive:
        assert len({archive.read(name) for name in archive.namelist()}) == 20


def test_the_table_is_shown_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    arguments = ["--count", "2", "--workers", "2", "--kinds", "drawn", "--write"]
    monkeypatch.setattr(sys, "argv", ["prepare_memory", *arguments])
    prepare_memory.main()
    written = (tmp_path / "prepare_memory.md").read_text()
    assert written == capsys.readouterr().out
    assert timing.described("numpy", "pillow", "opencv-python-headless") in written
    assert "| source | main, 2 | main, 20 | ratio | worker, 2 | worker, 20 | ratio |" in written
    cells = written.splitlines()[-1].strip("| ").split(" | ")
    assert cells[0] == "drawn"
    own, own10, ratio, *_ = map(float, cells[1:])
    assert 10 < own < 2000
    assert ratio == pytest.approx(own10 / own, rel=0.05)


def test_a_peak_is_that_of_the_process_alone():
    """`getrusage` would count what this one had when it started the other."""
    held = bytearray(300 * 2**20)
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert str(process.pid) in prepare_memory.children()
        assert 0 < prepare_memory.peak_mib(str(process.pid)) < 50
    finally:
        process.kill()
        process.wait()
    assert prepare_memory.peak_mib("self") > len(held) / 2**20
    assert prepare_memory.peak_mib(str(process.pid)) == 0


def test_run_all_asks_every_script_to_write(monkeypatch):
    commands = []
    monkeypatch.setattr(run_all.subprocess, "run", lambda command, **told: _Done(commands, command))
    monkeypatch.setattr(sys, "argv", ["run_all", "--only", ",".join(run_all.SCRIPTS), "--write"])
    run_all.main()
    assert [command[2] for command in commands] == [f"benchmarks.{n}" for n in run_all.SCRIPTS]
    assert all(command[-1] == "--write" for command in commands)


class _Done:
    returncode = 0

    def __init__(self, commands, command):
        commands.append(command)
