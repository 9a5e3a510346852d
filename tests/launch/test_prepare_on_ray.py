"""Preparing on a real Ray cluster of several nodes: the same bytes as on one machine."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.cluster.nodes import raylet_of, several
from tests.conftest import REPOSITORY
from tests.data.pictures import noise, pictures, write_folder, write_zip
from tests.data.test_pool import RECIPE, Trap, tasks_of
from tests.launch.processes import wait_until
from trainer.data import pool
from trainer.data.convert import Task
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.launch.prepare_on_ray import RayExecutor, on_ray
from trainer.launch.ray_cluster import connected, nodes

pytestmark = pytest.mark.cluster

OPTIONS = PrepareOptions(size_px=32, dedup=True, crop="landmarks")
OTHER_HOST = "127.0.0.2"
"""A node with another address than the driver's is taken for another machine."""


@pytest.fixture
def cluster():
    """A head without cores and one node with one."""
    with several(1) as nodes:
        yield nodes


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def source_of(folder, count=100):
    """A folder with pictures, landmarks, and files that are left out for all kinds of reasons."""
    files = {f"{k % 7}/{k}.png": noise(k, 200, 200) for k in range(count)}
    marks = b"9 87 80 120 81 100 100 74 60 68 39 83 46 140 50 156 48 148 66"
    files |= {f"{name}.cat": marks for name in list(files)[:-5]}
    files |= {"bad.png": b"", "cut.png": noise(1, 64, 64)[:500], "notes.png": "text é".encode()}
    return write_folder(folder, {**files, "LICENSE": b"CC0"})


def converters_below(node):
    """Converting processes below a node's raylet."""
    raylet = psutil.Process(raylet_of(node))
    lines = [" ".join(child.cmdline()) for child in raylet.children(recursive=True)]
    return [line for line in lines if "trainer.data.converting" in line]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_two_nodes_make_the_same_bytes_as_this_machine_alone(tmp_path, cluster, elsewhere):
    second = cluster.add(ip=OTHER_HOST if elsewhere else None)
    source = source_of(tmp_path / "source")
    prepare(str(source), str(tmp_path / "here"), OPTIONS)
    worked = set()

    def look(status):
        if status.phase == "converting":
            worked.update(converters_below(second))

    with on_ray(cluster.address) as make_executor:
        assert RayExecutor(RECIPE).sends_files is elsewhere
        prepare(str(source), str(tmp_path / "there"), OPTIONS, look, make_executor)
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    assert len(files_of(tmp_path / "there")["rejected.jsonl"].splitlines()) == 8
    assert worked, "the second node did nothing"


def test_a_node_that_is_killed_changes_no_byte(tmp_path, cluster):
    second = cluster.add()
    source = write_zip(tmp_path / "a.zip", pictures(600))
    options = PrepareOptions(size_px=16)
    prepare(str(source), str(tmp_path / "here"), options)
    killed = []

    def kill(status):
        if status.phase == "converting" and converters_below(second) and not killed:
            killed.append(status.done)
            cluster.kill(second)

    with on_ray(cluster.address) as make_executor:
        prepare(
            str(source),
            str(tmp_path / "there"),
            options,
            lambda status: None if killed else kill(status),
            make_executor,
        )
    assert killed
    assert killed[0] < 600
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def test_a_node_that_comes_later_is_sent_the_files(tmp_path):
    with several() as late, connected(late.address):
        executor = RayExecutor(RECIPE, workers=1)
        assert executor.sends_files is False
        pending = executor.submit(tasks_of(tmp_path, 5))
        late.add(ip=OTHER_HOST)
        assert [outcome.number for outcome in pending.result()] == list(range(5))
        assert {node.is_here for node in nodes()} == {True, False}


def test_a_file_that_crashes_its_decoder_costs_no_other(tmp_path, cluster):
    tasks = tasks_of(tmp_path, 40)
    trap = Trap(tasks[20].ref[1], signal.SIGSEGV)
    tasks[20] = Task(20, tasks[20].name, ("file", trap))
    with on_ray(cluster.address) as make_executor:
        outcomes = list(pool.convert_with_workers(tasks, RECIPE, None, make_executor))
    assert [(o.number, o.reason) for o in outcomes if o.record is None] == [(20, "decoder crashed")]
    assert [outcome.number for outcome in outcomes] == list(range(40))


class KillsItsReader:
    """Kills the process that unpickles it, unless that is the one which pickled it."""

    def __reduce__(self):
        return _killed, (os.getpid(),)


def _killed(home):
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)
    return "nothing"


@pytest.mark.slow
def test_a_task_that_kills_its_ray_worker_again_and_again_is_left_out(tmp_path, cluster):
    tasks = tasks_of(tmp_path, 4)
    tasks[1] = Task(1, tasks[1].name, ("file", KillsItsReader()))
    with on_ray(cluster.address) as make_executor:
        outcomes = list(pool.convert_with_workers(tasks, RECIPE, None, make_executor))
    assert [(o.number, o.reason) for o in outcomes if o.record is None] == [(1, "decoder crashed")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_keeps_what_is_done_and_leaves_nothing_behind(tmp_path, number, code):
    target = tmp_path / "set"
    command = [sys.executable, "-m", "trainer", "prepare", "drawn:1500", str(target)]
    command += ["--size", "16", "--val-fraction", "0"]
    process = subprocess.Popen(
        [*command, "--address", "local"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    ledger = target / ".prepare" / "records.bin"
    wait_until(lambda: process.poll() is not None or (ledger.exists() and ledger.stat().st_size))
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) > 3
    # As Ctrl-C in a terminal does: everybody in the group hears it.
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(below, timeout=60)[1] == []
    done = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, timeout=300, cwd=REPOSITORY
    )
    assert "going on: " in done.stderr
    assert '"train": 1500' in done.stdout
