"""Joining and starting clusters, and getting this package to their workers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray

import trainer
from tests.cluster.nodes import several
from tests.conftest import REPOSITORY
from trainer.errors import ClusterError
from trainer.launch import ray_address, ray_package
from trainer.launch.ray_cluster import connected, nodes
from trainer.launch.ray_restraint import own_signals


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and one node with one."""
    with several(1) as nodes:
        yield nodes


# --- addresses ---


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("no.such.host.invalid:6379", "no Ray cluster answers"),
        ("ray://127.0.0.1:10001", "is not the address of a Ray cluster"),
        ("head", "is not the address of a Ray cluster"),
        ("head:70000", "is not the address of a Ray cluster"),
        ("auto", "there is no Ray cluster to join"),
    ],
)
def test_an_address_that_leads_nowhere_is_said_at_once(tmp_path, monkeypatch, address, said):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError) as told:
        ray_address.find(address)
    assert said in told.value.what
    assert told.value.expected
    assert told.value.remedy


def test_auto_is_what_the_environment_or_ray_start_names(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1\n")
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1 "):
        ray_address.find("auto")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:2 "):
        ray_address.find("auto")


def test_a_server_that_is_no_cluster_is_given_up(monkeypatch):
    monkeypatch.setattr(ray_address, "ANSWER_SECS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match="cannot be joined: nothing within 2 s"):
            ray_address.find(address)


@pytest.mark.cluster
def test_a_cluster_of_another_version_is_named(cluster, monkeypatch):
    from ray._private import ray_constants
    from ray._raylet import GcsClient

    store = GcsClient(address=cluster.address)
    place = (b"CLUSTER_METADATA", ray_constants.KV_NAMESPACE_CLUSTER)
    before = store.internal_kv_get(*place)
    other = {**json.loads(before), "ray_version": "2.9.3", "python_version": "3.8.1"}
    store.internal_kv_put(place[0], json.dumps(other).encode(), True, place[1])
    try:
        with pytest.raises(ClusterError) as told, connected(cluster.address):
            pass
        assert "runs Ray: 2.9.3, Python: 3.8.1" in told.value.what
        assert f"Ray: {ray.__version__}" in told.value.expected
    finally:
        store.internal_kv_put(place[0], before, True, place[1])


# --- being connected ---


@pytest.mark.cluster
def test_the_environment_names_a_cluster_and_what_it_offers(cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    with connected("auto") as connection:
        assert connection.address == cluster.address
        assert connection.is_own is False
        assert [(node.cpus, node.gpus, node.is_here) for node in nodes()] == [
            (0.0, 0.0, True),
            (1.0, 0.0, True),
        ]
        with connected("local") as same:
            assert same.address == cluster.address
        assert ray.is_initialized(), "a connection is ended by whoever began it"
    assert not ray.is_initialized()


@pytest.mark.cluster
def test_a_cluster_of_our_own_leaves_no_process_and_no_file(monkeypatch):
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)  # `ray.init` of another test leaves it
    before = set(psutil.Process().children(recursive=True))
    token = Path.home() / ".ray" / "auth_token"
    had_token = token.exists()
    with connected("local", cpus=1) as connection:
        assert connection.is_own
        started = set(psutil.Process().children(recursive=True)) - before
        own = set(Path("/tmp").glob(f"catgan-ray-*/session_*_{os.getpid()}"))
        assert started
        assert own
        assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()
    assert psutil.wait_procs(started, timeout=30)[1] == []
    assert not [path for path in own if path.exists()]
    assert token.exists() is had_token
    assert "PYTHONBREAKPOINT" not in os.environ, "a child's breakpoint() is its own"
    with connected("local", cpus=1):  # and not only the first time
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert ray.get(ray.remote(lambda: os.getpriority(os.PRIO_PROCESS, 0)).remote()) == own


@pytest.mark.cluster
def test_standard_output_is_left_to_the_answer(cluster, tmp_path, capfd):
    def lost():
        print("from a worker", flush=True)
        if not os.path.exists(spent):
            open(spent, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    spent = str(tmp_path / "spent")
    with connected(cluster.address, log_to_driver=True):
        assert ray.get(ray.remote(lost).remote()) == "done"
        heard = ""
        until = time.monotonic() + 60
        while "from a worker" not in heard and time.monotonic() < until:
            time.sleep(0.1)
            out, err = capfd.readouterr()
            assert out == ""
            heard += err
    assert "from a worker" in heard
    assert "worker died" not in heard


@pytest.mark.cluster
def test_signals_stay_with_their_owner(cluster):
    heard = []
    kept = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        ours = signal.getsignal(signal.SIGTERM)
        with connected(cluster.address):
            assert signal.getsignal(signal.SIGTERM) is ours
            signal.raise_signal(signal.SIGTERM)
            assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, kept)


def test_a_signal_while_connecting_reaches_its_owner():
    heard = []
    kept = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))

    def connect():
        with own_signals():
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # as Ray does
            signal.raise_signal(signal.SIGTERM)

    try:
        with pytest.raises(SystemExit):
            connect()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, kept)


def test_importing_the_launcher_does_not_import_ray():
    program = "import sys, trainer.launch.prepare_on_ray, trainer.cli.prepare; "
    done = subprocess.run(
        [sys.executable, "-c", program + "print('ray' in sys.modules)"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.stdout == "False\n", done.stderr


# --- the package ---


@pytest.mark.cluster
def test_workers_run_the_sources_that_were_sent(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # workers look first in the driver's folder
    monkeypatch.setenv("CATGAN_STORAGE_PAUSE_SECS", "0.125")

    def look():
        import importlib.metadata
        import os

        import trainer

        version = importlib.metadata.version("catgan")
        return next(iter(trainer.__path__)), version, os.environ["CATGAN_STORAGE_PAUSE_SECS"]

    with connected(cluster.address):
        folder, version, pause = ray.get(ray.remote(look).remote())
        assert "py_modules_files" in folder
        sources = {path.relative_to(folder) for path in Path(folder).rglob("*.py")}
        assert Path("launch/ray_package.py") in sources
    assert (version, pause) == (trainer.__version__, "0.125")


@pytest.mark.cluster
def test_a_worker_with_other_sources_is_refused(cluster, tmp_path, monkeypatch):
    """The driver's folder holds another version: Ray's workers find it first."""
    shutil.copytree(next(iter(trainer.__path__)), tmp_path / "trainer")
    with (tmp_path / "trainer" / "errors.py").open("a") as file:
        file.write("# another version\n")
    monkeypatch.chdir(tmp_path)
    mark = ray_package.mark()
    with connected(cluster.address):
        with pytest.raises(ClusterError) as told:
            ray.get(ray.remote(ray_package.must_match).remote(mark))
        assert str(tmp_path / "trainer") in told.value.cause.what
        assert mark.digest[:12] in told.value.cause.expected


def test_a_mark_tells_what_differs():
    mark = ray_package.mark("pillow", "no-such-library")
    ray_package.must_match(mark)
    other = replace(mark, libraries=(("pillow", "1.0"), ("no-such-library", "")))
    with pytest.raises(ClusterError, match=r"has pillow \d") as told:
        ray_package.must_match(other)
    assert "pip" not in told.value.what
    assert "pillow 1.0" in told.value.expected
    absent = replace(mark, libraries=(("no-such-library", "3"),))
    with pytest.raises(ClusterError, match="has no-such-library not at all"):
        ray_package.must_match(absent)


def test_what_is_sent(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CATGAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://bucket:1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    sent = ray_package.runtime_env("code")
    assert sent["env_vars"]["STORAGE_EMULATOR_HOST"] == "http://bucket:1"
    assert "PYTHONPATH" not in sent["env_vars"]
    assert sent["py_modules"][0] == next(iter(trainer.__path__))
    assert "pip" not in sent
    assert "py_modules" not in ray_package.runtime_env("none")
    required = ray_package.runtime_env("pip", ("gpu",))["pip"]["packages"]
    assert any(line.startswith("tensorflow[and-cuda]") for line in required)
    assert not [line for line in required if line.startswith(("ray", "pytest"))]
    assert not [line for line in ray_package.requirements() if "and-cuda" in line]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, {"env_vars", "py_modules", "excludes"}),
        ({"env_vars": {"CATGAN_A": "2"}}, {"py_modules", "excludes"}),
        ({"env_vars": {"OTHER": "2"}}, {"env_vars", "py_modules", "excludes"}),
        ({"working_dir": "gcs://x.zip"}, {"env_vars"}),
        ({"py_modules": ["gcs://x.zip"]}, {"env_vars", "excludes"}),
    ],
)
def test_the_environment_of_a_submitted_job_stands(monkeypatch, given, left):
    for name in [name for name in os.environ if name.startswith(("CATGAN_", "STORAGE_", "GOOGLE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CATGAN_A", "1")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": given}))
    assert set(ray_package.runtime_env("code")) == left
