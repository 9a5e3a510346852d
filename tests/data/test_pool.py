"""Worker processes: a crash costs one file, and none is left behind."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from PIL import Image

from tests.data.pictures import pictures, write_folder
from trainer import storage
from trainer.data import converter, pool
from trainer.data.convert import Recipe, Task
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.data.shards import read_manifest
from trainer.errors import ConfigError

RECIPE = Recipe(size_px=16, crop="center", encoding="png", dedup=False)


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def tasks_of(folder, count):
    """Tasks for so many pictures, written into the folder."""
    files = sorted(write_folder(folder, pictures(count)).rglob("*.png"))
    return [Task(k, path.name, ("file", str(path))) for k, path in enumerate(files)]


class Trap(os.PathLike):
    """A path that does something to the process which opens it, but not to this one."""

    def __init__(self, path, number, once=False):
        self.path, self.number = str(path), number
        self.spent = f"{self.path}.spent" if once else ""
        self.home = os.getpid()

    def __fspath__(self):
        if os.getpid() != self.home and not (self.spent and os.path.exists(self.spent)):
            if self.spent:
                open(self.spent, "x").close()
            os.kill(os.getpid(), self.number)
        return self.path


def test_outcomes_come_in_order_and_workers_go(tmp_path):
    before = set(children())
    outcomes = list(pool.convert_with_workers(iter(tasks_of(tmp_path, 100)), RECIPE, 2))
    assert [outcome.number for outcome in outcomes] == list(range(100))
    assert all(outcome.record for outcome in outcomes)
    assert not set(children()) - before


@pytest.mark.parametrize(("count", "workers"), [(100, 2), (100, 1), (60, 2), (3, None)])
def test_a_file_that_kills_its_worker_is_left_out_and_nothing_else(tmp_path, count, workers):
    tasks = tasks_of(tmp_path, count)
    for deadly in {1, count - 1}:
        trap = Trap(tasks[deadly].ref[1], signal.SIGSEGV)
        tasks[deadly] = replace(tasks[deadly], ref=("file", trap))
    outcomes = list(pool.convert_with_workers(iter(tasks), RECIPE, workers))
    assert [outcome.number for outcome in outcomes] == list(range(count))
    assert {o.number for o in outcomes if o.reason == "decoder crashed"} == {1, count - 1}
    assert sum(outcome.record is not None for outcome in outcomes) == count - 2


def test_a_worker_that_was_killed_by_something_else_costs_no_file(tmp_path):
    tasks = tasks_of(tmp_path, 60)
    trap = Trap(tasks[9].ref[1], signal.SIGKILL, once=True)
    tasks[9] = replace(tasks[9], ref=("file", trap))
    outcomes = list(pool.convert_with_workers(iter(tasks), RECIPE, 2))
    assert os.path.exists(trap.spent)
    assert all(outcome.record for outcome in outcomes)


def test_a_picture_that_takes_too_long_is_left_out(tmp_path):
    tasks = tasks_of(tmp_path, 60)
    Image.new("RGB", (9000, 9000)).save(tmp_path / "large.png")
    tasks[7] = replace(tasks[7], ref=("file", str(tmp_path / "large.png")))
    recipe = replace(RECIPE, decode_secs=0.25)
    outcomes = list(pool.convert_with_workers(iter(tasks), recipe, 2))
    slow = [outcome for outcome in outcomes if outcome.record is None]
    assert [(o.number, o.reason) for o in slow] == [(7, "too slow to decode")]
    assert slow[0].detail == "it took longer than 0.25 s"


def test_a_worker_that_stands_still_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(converter, "_SLACK_SECS", 3.0)
    tasks = tasks_of(tmp_path, 50)
    trap = Trap(tasks[9].ref[1], signal.SIGSTOP)
    tasks[9] = replace(tasks[9], ref=("file", trap))
    recipe = replace(RECIPE, decode_secs=0.5)
    outcomes = list(pool.convert_with_workers(iter(tasks), recipe, 2))
    assert [o.number for o in outcomes if o.record is None] == [9]


def test_without_worker_processes_this_one_does_the_work(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    outcomes = list(pool.convert_with_workers(iter(tasks_of(tmp_path, 60)), RECIPE, 2))
    assert all(outcome.record for outcome in outcomes)
    assert "cannot be started" in caplog.text


def test_an_error_in_a_worker_reaches_the_caller(tmp_path):
    tasks = tasks_of(tmp_path, 60)
    tasks[20] = replace(tasks[20], ref=("bucket", "gs://", "a.png"))
    before = set(children())
    with pytest.raises(ConfigError, match="gs://"):
        list(pool.convert_with_workers(iter(tasks), RECIPE, 2))
    assert not set(children()) - before


def test_a_program_that_cannot_be_imported_again_can_prepare(tmp_path):
    """As from `python -` or a notebook, where no file holds the main module."""
    program = (
        "from trainer.data.options import PrepareOptions\n"
        "from trainer.data.prepare import prepare\n"
        f"prepare({str(tmp_path / 'source')!r}, {str(tmp_path / 'set')!r},"
        " PrepareOptions(size_px=16, workers=2, val_fraction=0))\n"
    )
    write_folder(tmp_path / "source", pictures(120))
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    counts = read_manifest(storage.open_folder(tmp_path / "set")).counts
    assert (counts.train, counts.rejected) == (120, 0)


PROGRAM = """
import sys
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare

def report(status):
    if status.phase == "converting" and status.done == 400:
        print("under way", flush=True)

if __name__ == "__main__":
    prepare("drawn:3000", sys.argv[1], PrepareOptions(size_px=16, workers=2), report)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_work_it_leaves_no_process_and_goes_on(tmp_path, number):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "set")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=os.getcwd()
    )
    assert process.stdout.readline() == "under way\n"
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(number)
    process.wait(60)
    process.stdout.close()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    first = []
    options = PrepareOptions(size_px=16, workers=1)

    def stop(status):
        first.append(status)
        raise KeyboardInterrupt

    with pytest.raises(Exception, match="interrupted"):
        prepare(
            "drawn:3000",
            str(tmp_path / "set"),
            options,
            lambda status: _after_listing(status, stop),
        )
    assert first[0].done > 150


def _after_listing(status, then):
    if status.phase == "converting":
        then(status)
