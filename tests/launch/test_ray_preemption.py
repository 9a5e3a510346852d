"""A node that Ray drains is known to the workers, and a Ray that tells nothing does no harm."""

import json
import logging
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from trainer.launch import ray_preemption

PATIENCE_SECS = 150
PREEMPTION = 2  # autoscaler.proto, DrainNodeReason


def wait_for(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECS
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SECS} s")
        time.sleep(0.1)


def test_outside_of_a_worker_there_are_no_notices():
    assert ray_preemption.draining_ranks() == set()


@pytest.mark.parametrize(
    "private",
    [
        types.SimpleNamespace(),
        types.SimpleNamespace(get_train_context=lambda: object()),
        types.SimpleNamespace(
            get_train_context=lambda: types.SimpleNamespace(
                preemption_context=types.SimpleNamespace(preemption_info="soon")
            )
        ),
    ],
    ids=["no context", "no preemption in it", "another type"],
)
def test_a_ray_that_has_changed_is_mentioned_once(private, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ray.train.v2._internal.execution.context", private)
    monkeypatch.setattr(ray_preemption, "_told_absent", False)
    with caplog.at_level(logging.DEBUG, logger="catgan.ray"):
        for _ in range(3):
            assert ray_preemption.draining_ranks() == set()
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.DEBUG


def train_function(folder: str) -> None:
    """Waits until it hears of a draining node and writes down what it heard."""
    context = ray.train.get_context()
    own = Path(folder) / f"rank-{context.get_world_rank()}"
    heard_before = sorted(ray_preemption.draining_ranks())
    own.with_suffix(".ready").write_text(ray.get_runtime_context().get_node_id())
    wait_for(ray_preemption.draining_ranks)
    found = {
        "before": heard_before,
        "ranks": sorted(ray_preemption.draining_ranks()),
    }
    own.with_suffix(".part").write_text(json.dumps(found))
    own.with_suffix(".part").rename(own.with_suffix(".json"))


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "0.5")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def drain_when_ready(cluster: Cluster, folder: Path, drained: list[int]) -> None:
    """Drains the node that is not the head's, once a worker runs on each."""
    wait_for(lambda: len(list(folder.glob("*.ready"))) == 2)
    node = next(iter(cluster.worker_nodes)).node_id
    client = ray._raylet.GcsClient(address=cluster.address)
    deadline_ms = int((time.time() + PATIENCE_SECS) * 1000)
    accepted, complaint = client.drain_node(node, PREEMPTION, "taken back", deadline_ms)
    assert accepted, complaint
    for ready in folder.glob("*.ready"):
        if ready.read_text() == node:
            drained.append(int(ready.stem.removeprefix("rank-")))


@pytest.mark.cluster
def test_a_drained_node_is_seen_by_all_ranks(two_nodes, tmp_path):
    drained: list[int] = []
    draining = threading.Thread(target=drain_when_ready, args=(two_nodes, tmp_path, drained))
    draining.start()
    DataParallelTrainer(
        train_function,
        train_loop_config=str(tmp_path),
        scaling_config=ScalingConfig(num_workers=2, placement_strategy="STRICT_SPREAD"),
        run_config=RunConfig(
            name="start-0001",
            storage_path=str(tmp_path / "ray"),
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0),
        ),
    ).fit()
    draining.join(PATIENCE_SECS)
    found = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert len(drained) == 1
    assert [item["before"] for item in found] == [[], []]
    assert [item["ranks"] for item in found] == [drained, drained]
