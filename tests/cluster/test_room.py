"""Clusters without room: what was asked for, what there is, what can be had, how long it waits."""

import subprocess
import sys

import pytest

from tests.cluster.driving import Drive, assert_finished, record
from tests.cluster.nodes import several
from tests.launch.processes import wait_until
from trainer.config.cluster import ClusterSettings
from trainer.launch import room

cluster = pytest.mark.cluster


def node(cpus=4.0, gpus=0.0, kind="", free=None):
    total = {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
    if kind:
        total[f"accelerator_type:{kind}"] = 1.0
    return room.NodeRoom("host", total, {**total, **(free or {})})


@pytest.mark.parametrize(
    ("need", "nodes", "had", "remedy"),
    [
        (
            {"workers": 2, "gpus_per_worker": 1},
            [node()],
            "2 workers with 2 cores and 1 GPU each were asked for, and the cluster has 1 node with "
            "4 cores (4 free) and 0 GPUs (0 free): room for 0 now, 0 if nothing else ran",
            "train without GPUs: cluster.gpus_per_worker=0",
        ),
        (
            {"workers": (3, 8)},
            [node(), node(1.0)],
            "at least 3 workers with 2 cores each were asked for",
            "cluster.workers=2",
        ),
        (
            {"workers": 1, "gpus_per_worker": 1, "accelerator_type": "H100"},
            [node(gpus=2.0, kind="L4")],
            "1 worker with 2 cores and 1 GPU (H100) was asked for",
            "cluster.accelerator_type=L4",
        ),
        (
            {"workers": 2},
            [node(1.0), node(1.0)],
            "room for 0 now, 0 if nothing else ran",
            "cluster.cpus_per_worker=1",
        ),
        (
            {"workers": 2},
            [node(), node(free={"CPU": 0.0}), node(free={"CPU": 1.0})],
            "room for 2 now, 6 if nothing else ran",
            "",
        ),
        (
            {"workers": 4},
            [node(free={"CPU": 2.0}), node(free={"CPU": 1.0})],
            "room for 1 now, 4 if nothing else ran",
            "ask for what is free (cluster.workers=1), or let what else runs there end",
        ),
        ({"workers": 1}, [], "the cluster has 0 nodes", "ray start --num-cpus"),
    ],
)
def test_the_words(need, nodes, had, remedy):
    error = room.missing(nodes, ClusterSettings(**need), 12.0)
    assert had in error.what
    assert "after 12 s of waiting" in error.what
    assert remedy in error.remedy
    assert error.exit_code == 6


@cluster
def test_a_local_cluster_without_gpus_says_so_at_once(config, tmp_path):
    run = tmp_path / "run"
    with Drive(tmp_path, "train", str(config), f"run={run}", "cluster.gpus_per_worker=1") as drive:
        assert drive.wait() == 6
        drive.leaves_nothing()
    assert "2 workers with 1 core and 1 GPU each were asked for" in drive.told()
    assert "0 GPUs (0 free): room for 0 now" in drive.told()
    assert "do: train without GPUs: cluster.gpus_per_worker=0" in drive.told()
    assert not run.exists()


@cluster
@pytest.mark.parametrize("more", [("cluster.workers=3",), ("cluster.accelerator_type=H100",)])
def test_a_cluster_without_room_is_waited_for_no_longer_than_said(config, tmp_path, more):
    run = tmp_path / "run"
    words = ("train", str(config), f"run={run}", "cluster.start_timeout_secs=5", *more)
    with several(1, 1) as nodes, Drive(tmp_path, *words, "--address", nodes.address) as drive:
        assert drive.wait() == 6
        drive.leaves_nothing()
    assert "warning: " in drive.told()
    assert "waiting up to 5 s for room" in drive.told()
    assert "were asked for, and the cluster has 3 nodes with 2 cores (2 free)" in drive.told()
    assert "s of waiting" in drive.told()
    assert not run.exists()


@cluster
def test_ctrl_c_ends_the_wait_and_a_node_that_comes_does_too(config, tmp_path):
    run = tmp_path / "run"
    words = ("train", str(config), f"run={run}")
    with several(1) as nodes:
        join = ("--address", nodes.address)
        with Drive(tmp_path, *words, *join) as drive:
            drive.wait_for("waiting up to 120 s for room")
            drive.press_ctrl_c()
            assert drive.wait() == 130
            drive.leaves_nothing()
        assert not run.exists()
        with Drive(tmp_path, *words, *join) as drive:
            drive.wait_for("waiting up to 120 s for room")
            nodes.add(1)
            drive.succeed()
            drive.leaves_nothing()
    assert_finished(run)


@cluster
def test_room_that_another_job_has_is_waited_for(config, tmp_path):
    run, gate = tmp_path / "run", tmp_path / "gate"
    with several(1, 1) as nodes:
        other = subprocess.Popen([sys.executable, "-c", OTHER_JOB, nodes.address, str(gate)])
        try:
            wait_until(gate.exists)
            words = ("train", str(config), f"run={run}", "--address", nodes.address)
            with Drive(tmp_path, *words) as drive:
                drive.wait_for("room for 1 now, 2 if nothing else ran; waiting up to 120 s")
                other.terminate()
                drive.succeed()
                drive.leaves_nothing()
        finally:
            other.kill()
            other.wait()
    assert [start.world_size for start in record(run).starts] == [2]


OTHER_JOB = """
import pathlib, sys, time, ray
ray.init(sys.argv[1], log_to_driver=False)
@ray.remote(num_cpus=1)
class Other:
    def ready(self): pass
other = Other.remote()
ray.get(other.ready.remote())
pathlib.Path(sys.argv[2]).touch()
time.sleep(600)
"""
