"""Worker processes: a crash costs one file, and none is left behind."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.data.pictures import pictures, write_folder
from trainer.data import pool
from trainer.data.convert import Recipe, Task
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare

RECIPE = Recipe(size_px=16, crop="center", encoding="png", dedup=False)


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_outcomes_come_in_order_and_workers_go(tmp_path):
    folder = write_folder(tmp_path, pictures(100))
    files = sorted(path for path in folder.rglob("*.png"))
    tasks = [Task(k, path.name, ("file", str(path))) for k, path in enumerate(files)]
    before = set(children())
    outcomes = list(pool.convert_with_workers(iter(tasks), RECIPE, 2))
    assert [outcome.number for outcome in outcomes] == list(range(100))
    assert all(outcome.record for outcome in outcomes)
    left = [child for child in children() if child not in before]
    assert not [child for child in left if "spawn_main" in " ".join(child.cmdline())]


def test_a_file_that_kills_its_worker_is_left_out_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "convert_all", _die_at_number_50)
    folder = write_folder(tmp_path, pictures(100))
    files = sorted(path for path in folder.rglob("*.png"))
    tasks = [Task(k, path.name, ("file", str(path))) for k, path in enumerate(files)]
    outcomes = list(pool.convert_with_workers(iter(tasks), RECIPE, 2))
    assert [outcome.number for outcome in outcomes] == list(range(100))
    assert [o.number for o in outcomes if o.reason == "decoder crashed"] == [50]
    assert sum(outcome.record is not None for outcome in outcomes) == 99


def _die_at_number_50(tasks, recipe):
    from trainer.data.convert import convert_all

    if any(task.number == 50 for task in tasks):
        os.kill(os.getpid(), signal.SIGSEGV)
    return convert_all(tasks, recipe)


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
