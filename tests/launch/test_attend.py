"""What is said of a run, and how its process is stopped."""

import datetime
import signal
import subprocess
import sys
import threading

import pytest

from tests.run_folder.begun import begin_start
from trainer import storage
from trainer.errors import ClusterError
from trainer.launch import alive, attend
from trainer.run_folder import Holder, MetricsLog, NewRun, RunFolder

NEW = NewRun("cats", "/data/cats", "f00d", "c0ffee")
# Goes on with other work when it is asked to stop, as a notebook may.
BUSY = """
import signal, time
signal.signal(signal.SIGTERM, lambda number, frame: print("heard", flush=True))
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def run(tmp_path) -> RunFolder:
    run = RunFolder(storage.open_folder(str(tmp_path / "run")))
    begin_start(run, 0, NEW, host="here")
    return run


@pytest.fixture
def process():
    busy = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert busy.stdout.readline() == "ready\n"
    yield busy
    busy.kill()
    busy.communicate()


def held_by(run: RunFolder, process: subprocess.Popen) -> Holder:
    now = datetime.datetime.now(datetime.UTC)
    identity = alive.identity(process.pid)
    lease = Holder(token="its", pid=process.pid, process=identity, since=now, renewed=now)
    run.update_record(lambda record: record.model_copy(update={"holder": lease}))
    return lease


def test_one_that_gave_the_run_back_is_not_waited_for(run, process):
    holder = held_by(run, process)

    def give_back() -> None:
        assert process.stdout.readline() == "heard\n"
        run.update_record(lambda record: record.model_copy(update={"holder": None}))

    giving_back = threading.Thread(target=give_back)
    giving_back.start()
    attend.stop_process(run, holder)
    giving_back.join()
    assert process.poll() is None
    assert run.read_record().holder is None


def test_one_that_keeps_the_run_is_waited_for_and_the_wait_has_an_end(run, process, monkeypatch):
    holder = held_by(run, process)
    monkeypatch.setattr(attend.job_package, "STOP_SECS", 1.0)
    with pytest.raises(ClusterError, match=f"process {process.pid} still runs") as told:
        attend.stop_process(run, holder)
    assert f"kill -KILL {process.pid}" in told.value.remedy


def test_one_that_has_ended_meanwhile_is_no_error(run, process):
    holder = held_by(run, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    attend.stop_process(run, holder)


def test_one_of_another_user_is_told(run, process, monkeypatch):
    holder = held_by(run, process)

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(attend.os, "kill", refuse)
    with pytest.raises(ClusterError, match="belongs to another user") as told:
        attend.stop_process(run, holder)
    assert str(process.pid) in told.value.remedy


def test_step_and_pictures_are_of_one_moment(run):
    """The record is written every few seconds, rows more often."""
    log = MetricsLog(run, 1, 0)
    log.append({"step": 30, "images_seen": 240, "seconds": 1.0})
    log.flush()
    told = attend.facts(attend.find(run.address, None))
    assert (told["step"], told["images_seen"]) == (30, 240)
