"""`catgan stop`: what it ends, and that a dry run says just that."""

import dataclasses
import datetime
import signal

import pytest

from trainer import storage
from trainer.launch import alive, attend
from trainer.launch.job_server import Job
from trainer.run_folder import Holder, NewRun, RunFolder

NEW = NewRun("cats", "/data/cats", "f00d", "c0ffee")
ADDRESS = ("--address", "http://head:8265")


class Server:
    """A job server with jobs of one run, which end when they are asked to."""

    address = ADDRESS[1]

    def __init__(self, run, *states):
        told = {attend.jobs.RUN_KEY: run.address}
        self._jobs = [
            Job(f"catgan-cats-{number}", state, metadata=told, started_ms=number)
            for number, state in enumerate(states, 1)
        ]
        self.asked = []

    def jobs(self):
        return self._jobs

    def stop(self, job_id):
        self.asked.append(job_id)

    def job(self, job_id):
        (job,) = (job for job in self._jobs if job.id == job_id)
        return dataclasses.replace(job, state="STOPPED")


@pytest.fixture
def cluster(monkeypatch):
    """Puts a server where the command line looks for one."""

    def put(*arguments):
        server = Server(*arguments)
        monkeypatch.setattr("trainer.launch.job_server.JobServer", lambda address: server)
        return server

    return put


@pytest.fixture
def run(tmp_path):
    run = RunFolder(storage.open_folder(str(tmp_path / "my run")))
    run.claim_start(NEW, host="first")
    return run


def held_by(run, pid, identity, silent_secs=1.0):
    """Writes a lease as another driver would."""
    sign = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=silent_secs)
    lease = Holder(
        token="other", host="elsewhere", pid=pid, process=identity, since=sign, renewed=sign
    )
    run.update_record(lambda record: record.model_copy(update={"holder": lease}))


def stops(catgan, *words):
    """Runs it dry and wet; both must end alike. Returns what each wrote to standard error."""
    dry, wet = catgan("stop", *words, "--dry-run"), catgan("stop", *words)
    assert dry.code == wet.code, dry.err + wet.err
    assert dry.out == wet.out
    return dry.err, wet.err


@pytest.mark.parametrize("states", [None, (), ("SUCCEEDED",)])
def test_a_process_of_this_machine(catgan, cluster, run, process, states):
    """Also where a cluster is named, which had a job of the run once or never."""
    held_by(run, process.pid, alive.identity(process.pid))
    server = None if states is None else cluster(run, *states)
    dry, wet = stops(catgan, run.address, *(ADDRESS if server else ()))
    assert dry.startswith(f"would stop: elsewhere (pid {process.pid})")
    assert wet == f"stopped; go on: catgan resume '{run.address}'\n"
    assert process.wait(10) == -signal.SIGTERM
    assert not server or not server.asked


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_the_newest_job_of_a_run(catgan, cluster, run, state):
    """Its driver holds the run on a machine that is not this one."""
    held_by(run, 1, "another machine")
    server = cluster(run, "FAILED", state)
    dry, wet = stops(catgan, run.address, *ADDRESS)
    assert dry == "would stop: catgan-cats-2\n"
    assert wet.startswith("stopped; go on: ")
    assert server.asked == ["catgan-cats-2"]


def test_a_process_elsewhere_is_left_alone(catgan, run):
    held_by(run, 1, "another machine")
    for said in stops(catgan, run.address):
        assert "is trained by elsewhere (pid 1)" in said
        assert "--address http://HEAD:8265" in said
    assert catgan("stop", run.address).code == 6


def test_one_that_gave_no_sign_for_long_does_not_train(catgan, cluster, run):
    """A driver that was killed with its machine never gave the run back."""
    held_by(run, 1, "another machine", silent_secs=3600.0)
    cluster(run, "FAILED")
    for words in ((), ADDRESS):
        for said in stops(catgan, run.address, *words):
            assert said == "nothing to stop: nobody trains it\n"


def test_a_job_that_has_ended_is_not_its_run(catgan, cluster, run, process):
    held_by(run, process.pid, alive.identity(process.pid))
    cluster(run, "SUCCEEDED")
    for said in stops(catgan, "catgan-cats-1", *ADDRESS):
        assert said == "nothing to stop: job catgan-cats-1 has ended\n"
    assert process.poll() is None


def test_answers_for_programs(catgan, cluster, run):
    cluster(run, "RUNNING")
    dry = catgan("stop", run.address, *ADDRESS, "--dry-run", "--json").answer
    assert (dry["stopped"], dry["would_stop"]) == (False, "catgan-cats-1")
    wet = catgan("stop", run.address, *ADDRESS, "--json").answer
    told = {"stopped": True, "job": "catgan-cats-1", "state": "stopped", "run": run.address}
    assert wet == told
