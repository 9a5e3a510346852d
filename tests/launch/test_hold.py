"""Holding a run: waiting for its turn, taking, renewing, losing, giving back.

That whole training processes keep to it: `test_two_processes.py`.
"""

import datetime
import logging
import os
import signal
import threading

import pytest

from tests.launch.processes import wait_until
from tests.run_folder.begun import begin_start
from trainer import storage
from trainer.errors import CheckpointError, ClusterError, ConfigError
from trainer.launch import alive
from trainer.launch import hold as holding
from trainer.launch.hold import hold
from trainer.run_folder import Holder, NewRun, RunFolder

NEW = NewRun("cats", "/data/cats", "f00d", "c0ffee")
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(params=["disk", "bucket"])
def run(request, tmp_path):
    where = str(tmp_path / "run")
    if request.param == "bucket":
        where = f"{request.getfixturevalue('bucket').address}/run"
    return RunFolder(storage.open_folder(where))


@pytest.fixture
def local(tmp_path):
    run = RunFolder(storage.open_folder(str(tmp_path / "run")))
    begin_start(run, 0, NEW, host="first")
    return run


def now(ago_secs=0.0):
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=ago_secs)


def held_by(run, token="other", **told):
    """Writes a lease as another driver would."""
    told = {"host": "elsewhere", "pid": 4711, "since": now(90), "renewed": now(), **told}
    lease = Holder(token=token, **told)
    run.update_record(lambda record: record.model_copy(update={"holder": lease}))
    return lease


def told_once(caplog, word):
    return [line for line in caplog.messages if word in line]


def test_from_a_run_that_does_not_exist_to_its_release(run):
    with hold(run) as held:
        assert run.read_record() is None
        held.take()
        assert run.read_record() is None
        run.claim_start(NEW, host="here", holder=held.holder)
        there = run.read_record().holder
        assert (there.token, there.pid) == (held.token, os.getpid())
        assert alive.state(there.pid, there.process) == "alive"
        with pytest.raises(ClusterError, match=rf"start 1 on .* \(pid {os.getpid()}\)"):
            hold(run).__enter__()
        assert held.lost() == ""
    assert run.read_record().holder is None
    with hold(run) as again:
        again.take()
        assert run.claim_start(NEW, host="here", holder=again.holder) == 2


def test_entering_writes_nothing_and_claims_nothing(local):
    before = local.folder.read("run.json")
    with hold(local) as held, pytest.raises(RuntimeError, match="take"):
        _ = held.holder
    assert local.folder.read("run.json") == before


def fail_while_holding(run):
    with hold(run) as held:
        held.take()
        assert run.read_record().holder is not None
        raise ZeroDivisionError


def test_given_back_whatever_the_end(local):
    with pytest.raises(ZeroDivisionError):
        fail_while_holding(local)
    assert local.read_record().holder is None


def test_of_two_that_saw_a_free_run_one_takes_it(local):
    with hold(local) as one, hold(local) as other:
        one.take()
        with pytest.raises(ClusterError, match="is being trained by"):
            other.take()
    assert local.read_record().holder is None


def test_of_two_that_saw_no_run_one_claims_it(run):
    with hold(run) as one, hold(run) as other:
        one.take()
        other.take()
        run.claim_start(NEW, host="here", holder=other.holder)
        with pytest.raises(ClusterError, match="is being trained by start 1"):
            run.claim_start(NEW, host="here", holder=one.holder)
    record = run.read_record()
    assert (len(record.starts), record.holder) == (1, None)


def test_signs_of_life_go_on_until_the_end(run):
    begin_start(run, 0, NEW, host="first")
    with hold(run, lease_secs=0.3) as held:
        held.take()
        seen = set()

        def several():
            seen.add(run.read_record().holder.renewed)
            return len(seen) > 4

        wait_until(several)
    assert not [t for t in threading.enumerate() if t.name == "run-lease"]


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "zombie"])
def test_a_killed_process_is_taken_over_from_at_once(local, process, reaped, caplog):
    caplog.set_level(logging.INFO, "catgan")
    held_by(local, pid=process.pid, process=alive.identity(process.pid))
    process.kill()
    if reaped:
        process.wait()
    else:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with hold(local) as held:
        held.take()
        assert local.read_record().holder.token == held.token
    assert not told_once(caplog, "Waiting")
    assert len(told_once(caplog, "elsewhere (pid")) == 1


def test_another_process_with_the_same_pid_is_not_the_holder(local, process):
    boot, space, _ = alive.identity(process.pid).split("/")
    held_by(local, pid=process.pid, process=f"{boot}/{space}/1")
    with hold(local) as held:
        held.take()


def test_a_running_process_is_refused_at_once_but_not_for_ever(local, process):
    identity = alive.identity(process.pid)
    held_by(local, pid=process.pid, process=identity, renewed=now(50))
    with pytest.raises(ClusterError, match=r"last sign of life 5[0-9] s ago"):
        hold(local).__enter__()
    held_by(local, pid=process.pid, process=identity, renewed=now(50), lease_secs=2.0)
    with hold(local) as held:
        held.take()


def test_a_process_that_slept_with_its_machine_gives_a_sign_before_it_is_dead(local, process):
    identity = alive.identity(process.pid)
    held_by(local, pid=process.pid, process=identity, renewed=LONG_AGO)
    waking = threading.Timer(0.3, lambda: held_by(local, pid=process.pid, process=identity))
    waking.start()
    with pytest.raises(ClusterError, match="is being trained by"):
        hold(local).__enter__()
    waking.join()


def test_a_frozen_process_is_waited_for_and_said_so_once(local, process, caplog):
    caplog.set_level(logging.INFO, "catgan")
    process.send_signal(signal.SIGSTOP)
    identity = alive.identity(process.pid)
    wait_until(lambda: alive.state(process.pid, identity) == "frozen")
    held_by(local, pid=process.pid, process=identity, lease_secs=1.0)
    with hold(local) as held:
        held.take()
        assert local.read_record().holder.token == held.token
    (line,) = told_once(caplog, "Waiting")
    assert f"{local.address} is held by elsewhere (pid {process.pid}), since 20" in line


def test_one_elsewhere_that_gives_a_sign_is_refused(run):
    begin_start(run, 0, NEW, host="first")
    held_by(run, renewed=now(20))
    renewing = threading.Timer(0.5, lambda: held_by(run))
    renewing.start()
    with pytest.raises(ClusterError, match=r"start 1 on elsewhere .* [0-9] s ago"):
        hold(run).__enter__()
    renewing.join()


@pytest.mark.parametrize("ahead_secs", [0.0, 3600.0], ids=["our clock", "its clock is ahead"])
def test_one_elsewhere_that_gives_no_sign_is_taken_over_from(local, ahead_secs):
    lease = held_by(local, lease_secs=0.8, renewed=now(-ahead_secs))
    with hold(local) as held:
        assert now() > lease.since
        held.take()
        assert local.read_record().holder.token == held.token


def test_one_elsewhere_that_was_silent_for_long_is_not_waited_for(local, caplog):
    caplog.set_level(logging.INFO, "catgan")
    held_by(local, renewed=LONG_AGO)
    with hold(local) as held:
        held.take()
    assert not told_once(caplog, "Waiting")


def test_a_run_that_is_given_back_while_it_is_waited_for(local):
    held_by(local)
    giving_back = threading.Timer(
        0.3, lambda: local.update_record(lambda r: r.model_copy(update={"holder": None}))
    )
    giving_back.start()
    with hold(local) as held:
        held.take()
    giving_back.join()


def test_one_that_lost_the_run_is_told_and_refused(run):
    begin_start(run, 0, NEW, host="first")
    with hold(run, lease_secs=0.3) as held:
        held.take()
        taken = held_by(run, "thief", pid=99)
        wait_until(held.lost)
        assert held.lost().startswith("pid 99 on elsewhere took the run over at 20")
        with pytest.raises(ClusterError, match="elsewhere"):
            run.claim_start(NEW, host="here", holder=held.holder)
        with pytest.raises(CheckpointError, match=r"lost the run .* pid 99 on elsewhere") as caught:
            held.raise_if_lost()
        assert "let the other go on" in str(caught.value)
    assert run.read_record().holder == taken


def test_one_that_lost_the_run_to_a_start_that_is_over_already(local):
    with hold(local, lease_secs=0.3) as held:
        held.take()
        number = begin_start(local, 0, NEW, host="second")
        local.update_record(lambda record: record.model_copy(update={"holder": None}))
        wait_until(held.lost)
        assert held.lost() == f"start {number} on second took the run over and has ended since"


def test_a_run_that_cannot_be_given_back_is_only_a_warning(local, caplog):
    with hold(local, lease_secs=6.0) as held:
        held.take()
        local.folder.write("run.json", b"{broken")
    (line,) = told_once(caplog, "was not given back")
    assert "other machines wait for it up to 6 s" in line
    assert "is not JSON" in line


def test_a_bucket_that_does_not_answer_is_told_once_and_not_asked_at_the_end(
    bucket, monkeypatch, caplog
):
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.2")
    run = RunFolder(storage.open_folder(f"{bucket.address}/run"))
    begin_start(run, 0, NEW, host="first")
    with hold(run, lease_secs=0.6) as held:
        held.take()
        bucket.faults.add("status", status=503, every=1)
        wait_until(lambda: told_once(caplog, "could not be renewed"))
        before = bucket.faults.report()
        wait_until(lambda: bucket.faults.report() != before)
    bucket.faults.clear()
    assert len(told_once(caplog, "could not be renewed")) == 1
    assert len(told_once(caplog, "was not given back")) == 1
    assert held.lost() == ""
    assert run.read_record().holder.token == held.token


def test_the_environment_sets_the_length_of_a_lease(local, monkeypatch):
    monkeypatch.setenv(holding.LEASE_VARIABLE, "7.5")
    with hold(local) as held:
        held.take()
        assert local.read_record().holder.lease_secs == 7.5
    for wrong in ("0", "-1", "soon", "nan", "1e9"):
        monkeypatch.setenv(holding.LEASE_VARIABLE, wrong)
        with pytest.raises(ConfigError, match=holding.LEASE_VARIABLE):
            hold(local)


def test_what_is_known_of_processes(process):
    here = alive.identity(os.getpid())
    assert alive.state(os.getpid(), here) == "alive"
    assert alive.same_clock(here)
    assert alive.identity(process.pid) != here
    assert alive.state(1, alive.identity(1)) == "alive"  # of another user, perhaps
    for elsewhere in ("", "another-boot/pid:[1]/5", "x"):
        assert alive.state(os.getpid(), elsewhere) == "unknown"
        assert not alive.same_clock(elsewhere)
    boot, _, began = here.split("/")
    container = f"{boot}/pid:[4711]/{began}"
    assert alive.state(os.getpid(), container) == "unknown"
    assert alive.same_clock(container)
    process.kill()
    process.wait()
    assert alive.state(process.pid, alive.identity(os.getpid())) == "gone"
    assert alive.identity(process.pid) == ""
