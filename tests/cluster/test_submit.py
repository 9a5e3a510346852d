"""Runs that are sent to a cluster as jobs: followed, cut off, killed, stopped, refused."""

import fcntl
import json
import os
import pty
import secrets
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.cluster.cable import cable
from tests.cluster.driving import STEPS, Drive, assert_finished, checkpoints, record
from tests.cluster.heads import Head, head
from tests.cluster.telling import jobs_of, told_by
from tests.conftest import REPOSITORY
from tests.launch.processes import wait_until
from trainer.storage import open_folder

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head without cores, a node with two; both ask for a token."""
    folder = tmp_path_factory.mktemp("head")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    with (
        head(Path(sys.executable), folder, cpus=0, jobs=True, token=token) as started,
        started.node(2),
    ):
        yield started


@pytest.fixture
def dataset(config: Path, bucket) -> str:
    """The data set of the config, in a bucket."""
    dataset = f"{bucket.address}/pictures"
    here = open_folder(str(config.parent / "pictures"))
    for entry in here.list():
        open_folder(dataset).write(entry.name, here.read(entry.name))
    return dataset


def driver_of(job_id: str) -> psutil.Process:
    """The process that a job runs; Ray tells it which job it is."""
    for process in psutil.process_iter():
        try:
            told = process.environ().get("RAY_JOB_CONFIG_JSON_ENV_VAR", "")
            if job_id in told and process.cmdline()[1:3] == ["-m", "trainer"]:
                return process
        except psutil.Error:
            continue
    raise AssertionError(f"no process drives {job_id}")


def test_followed_through_a_cut_killed_and_resumed(there, config, dataset, bucket, tmp_path):
    run = f"{bucket.address}/run"
    address = f"dataset.address={dataset}"
    with cable(int(there.dashboard.rpartition(":")[2])) as laid:
        server = ("--address", f"http://127.0.0.1:{laid.port}")
        words = ("submit", str(config), f"run={run}", address, "training.steps=100000")
        with Drive(tmp_path, *words, *server, env=there.env) as follower:
            follower.wait_for_step(20)
            laid.cut()
            follower.wait_for("the connection is lost", 60)
            laid.mend()
            follower.wait_for("connected again", 60)
            follower.wait_for_step(follower.step() + 20)
            driver_of(jobs_of(there, run)[0]["id"]).kill()
            assert follower.wait() == 6
    told = follower.told()
    lines = [line for line in told.splitlines() if "steps from the beginning" in line]
    assert len(lines) == 1, told  # the log was not shown twice
    assert "failed, exit code 6" in told
    assert "Traceback" not in told
    last = checkpoints(run)[-1]
    steps = last + 40
    more = ("resume", run, f"training.steps={steps}", "--address", there.dashboard)
    assert told_by(there, *more).strip() == run
    found = record(run)
    assert (found.status, found.step, found.holder) == ("finished", steps, None)
    assert [start.world_size for start in found.starts] == [2, 2]
    assert [job["state"] for job in jobs_of(there, run)] == ["failed", "succeeded"]
    ids = [job["id"] for job in jobs_of(there, run)]
    assert [job_id.rpartition("-")[2] for job_id in ids] == ["1", "2"]


def test_watched_from_afar_and_stopped(there, config, dataset, bucket, tmp_path):
    # An address of its own: the cluster remembers the jobs of every test before this one.
    run = f"{bucket.address}/watched"
    server = ("--address", there.dashboard)
    words = ("submit", str(config), f"run={run}", f"dataset.address={dataset}", *server)
    long = (*words, "training.steps=100000")
    sent = json.loads(told_by(there, *long, "--no-follow", "--json"))
    assert (sent["run"], sent["status"]) == (run, "submitted")
    refused = told_by(there, *long, code=6)
    assert f"job {sent['job']} of this run is" in refused
    assert f"catgan stop {sent['job']}" in refused
    log = lambda: told_by(there, "logs", sent["job"], *server)  # noqa: E731
    wait_until(lambda: " of 100,000 " in log(), log, 90)
    told = json.loads(told_by(there, "status", run, *server, "--json"))
    assert (told["status"], told["workers"], len(told["jobs"])) == ("running", 2, 1)
    assert told["step"] > 0
    assert len(told_by(there, "logs", run, *server, "--tail", "2").splitlines()) == 2
    with Drive(tmp_path, "logs", run, "--follow", *server, env=there.env) as watcher:
        stopped = json.loads(told_by(there, "stop", run, *server, "--json"))
        assert stopped == {"stopped": True, "job": sent["job"], "state": "stopped", "run": run}
        assert watcher.wait() == 143
    found = record(run)
    assert (found.status, found.holder) == ("stopped", None)
    assert checkpoints(run)[-1] == found.step
    assert f"terminated after step {found.step}; its checkpoint is published" in log()
    assert json.loads(told_by(there, "stop", run, *server, "--json"))["stopped"] is False


def test_ctrl_c_without_a_terminal_leaves_the_job(there, config, tmp_path):
    run = tmp_path / "run"
    server = ("--address", there.dashboard)
    words = ("submit", str(config), f"run={run}", "training.steps=100000", *server)
    with Drive(tmp_path, *words, env=there.env) as follower:
        follower.wait_for_step(5)
        follower.press_ctrl_c()
        assert follower.wait() == 130
    assert "the job goes on; watch it again: catgan logs catgan-run-" in follower.told()
    assert jobs_of(there, str(run))[0]["state"] == "running"
    told_by(there, "stop", str(run), *server)


def test_a_finished_run_is_not_sent_again(there, config, tmp_path):
    run = tmp_path / "run"
    server = ("--address", there.dashboard)
    words = ("submit", str(config), f"run={run}", *server)
    assert told_by(there, *words).strip() == str(run)
    assert_finished(run)
    assert json.loads(told_by(there, *words, "--json"))["status"] == "already finished"
    assert [job["state"] for job in jobs_of(there, str(run))] == ["succeeded"]
    assert record(run).step == STEPS


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_TOKEN": "0" * 64}, "wants a token and got another"),
        ({"RAY_AUTH_MODE": "disabled"}, "wants a token and got none"),
    ],
    ids=["wrong", "none"],
)
def test_a_token_that_is_not_the_clusters(there, config, tmp_path, given, told):
    run = f"run={tmp_path / 'run'}"
    words = ("submit", str(config), run, "--address", there.dashboard)
    answer = told_by(there, *words, code=6, env=given)
    assert told in answer
    assert "RAY_AUTH_TOKEN_PATH=FILE" in answer
    assert not (tmp_path / "run").exists()


def test_nothing_answers_there(there, config, tmp_path):
    run = f"run={tmp_path / 'run'}"
    answer = told_by(there, "submit", str(config), run, "--address", "http://127.0.0.1:9", code=6)
    assert "no job server answers at http://127.0.0.1:9" in answer


def test_gpus_that_the_cluster_does_not_have(there, config, tmp_path):
    run = tmp_path / "run"
    wants = ("cluster.gpus_per_worker=1", "cluster.start_timeout_secs=3")
    words = ("submit", str(config), f"run={run}", *wants, "--address", there.dashboard)
    answer = told_by(there, *words, code=6)
    assert "GPU" in answer
    assert "failed, exit code 6" in answer
    assert not run.exists()


def test_ctrl_c_on_a_terminal_asks_and_stops_the_job(there, config, tmp_path):
    """On a terminal one line of progress replaces the one before."""
    run = tmp_path / "run"
    words = ("submit", str(config), f"run={run}", "training.steps=100000")
    with terminal(there, *words, "--address", there.dashboard) as (process, said, press):
        wait_until(lambda: b" of 100,000 " in said(), lambda: said().decode(), 120)
        press(b"\x03")
        wait_until(lambda: b"still runs" in said(), lambda: said().decode(), 60)
        press(b"j\n")
        wait_until(lambda: process.poll() is not None, lambda: said().decode(), 120)
        assert process.returncode == 143, said().decode()
    assert b"\r\x1b[2K" in said()
    assert b"the job was asked to stop, after a checkpoint" in said()
    assert jobs_of(there, str(run))[0]["state"] == "stopped"
    assert (record(run).status, record(run).holder) == ("stopped", None)


@contextmanager
def terminal(there: Head, *words: str) -> Iterator[tuple]:
    """A command on a terminal of its own: its process, what it said, and a keyboard."""
    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *words],
        env={**os.environ, **there.env, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"},
        stdin=far,
        stdout=far,
        stderr=far,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that ^C is a signal
    )
    os.close(far)
    pieces: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            while piece := os.read(near, 65536):
                pieces.append(piece)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process, lambda: b"".join(pieces), lambda keys: os.write(near, keys)
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        os.close(near)


def test_the_doctor_is_sent_there(there, config, tmp_path):
    run = tmp_path / "run"
    words = ("doctor", str(config), f"run={run}", "--address", there.dashboard, "--json")
    # Long enough for some rows on a busy machine.
    answer = json.loads(told_by(there, *words, "training.steps=100000", "--secs", "8"))
    found = {item["name"]: item for item in answer["findings"]}
    assert {item["state"] for item in found.values()} == {"ok"}, found
    assert found["versions there"]["told"].startswith("the same on ")
    assert "2 workers, with their all-reduce" in found["step"]["told"]
    assert {"memory of rank 0", "memory of rank 1", "room", "to the end"} <= found.keys()
    assert answer["figures"]["left_secs"] > 0
    assert not run.exists()
    gpus = (*words, "cluster.gpus_per_worker=1", "cluster.start_timeout_secs=3")
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *gpus],
        env={**os.environ, **there.env, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 6, done.stdout + done.stderr
    failed = [f for f in json.loads(done.stdout)["findings"] if f["state"] == "failure"]
    assert [f["name"] for f in failed] == ["room"]
