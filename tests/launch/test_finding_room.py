"""How long room is waited for, and for how many workers; on nodes that are only described."""

import logging

import pytest
from ray.autoscaler import sdk

from trainer.config.cluster import ClusterSettings
from trainer.errors import ClusterError
from trainer.launch import finding_room, room
from trainer.launch.finding_room import await_room, free_places


@pytest.fixture
def cluster(monkeypatch):
    """Free cores of each node, poll by poll; the last stays. Each node has two cores."""
    polls: list[list[float]] = []

    def nodes():
        free = polls.pop(0) if len(polls) > 1 else polls[0]
        return [room.NodeRoom("host", {"CPU": 2.0}, {"CPU": cores}) for cores in free]

    monkeypatch.setattr(room, "node_rooms", nodes)
    monkeypatch.setattr(finding_room, "_POLL_SECS", 0.01)
    monkeypatch.setattr(finding_room, "_FREEING_SECS", 0.2)
    monkeypatch.setattr(finding_room, "_PATIENCE_SECS", 0.05)
    return polls


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """What the autoscaler was asked for, in order."""
    found: list[list[dict]] = []
    monkeypatch.setattr(sdk, "request_resources", lambda bundles: found.append(bundles))
    return found


def need(workers, **more) -> ClusterSettings:
    return ClusterSettings(workers=workers, cpus_per_worker=1, start_timeout_secs=0.5, **more)


def test_all_there_is_up_to_the_most(cluster):
    cluster.append([2.0, 2.0])
    assert await_room(need(2), can_grow=False) == 2
    assert await_room(need((1, 3)), can_grow=False) == 3
    assert await_room(need((1, 8)), can_grow=True) == 4
    assert free_places(need(2)) == 4


def test_what_an_ended_group_had_is_waited_for(cluster):
    cluster += [[0.0, 2.0], [1.0, 2.0], [2.0, 2.0]]
    assert await_room(need((1, 4)), can_grow=True) == 4


def test_what_others_have_is_not_waited_for_where_fewer_will_do(cluster):
    cluster.append([0.0, 2.0])
    assert await_room(need((1, 4)), can_grow=True) == 2


def test_too_small_a_cluster_of_its_own_is_refused_at_once(cluster):
    cluster.append([2.0])
    with pytest.raises(ClusterError, match="room for 2 now") as told:
        await_room(need(3), can_grow=False)
    assert "waiting" not in told.value.what


def test_one_that_may_grow_is_waited_for_and_the_wait_has_an_end(cluster, caplog):
    logging.getLogger("catgan").propagate = True
    cluster.append([2.0])
    with pytest.raises(ClusterError, match="s of waiting") as told:
        await_room(need(3), can_grow=True)
    assert "cluster.start_timeout_secs" in told.value.remedy
    warned = [line for line in caplog.messages if "waiting up to 0.5 s for room" in line]
    assert len(warned) == 1


def test_the_wait_can_be_ended_by_others(cluster):
    cluster.append([0.0])

    def give_way() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await_room(need(1), can_grow=True, each_poll=give_way)


def test_nodes_are_asked_for_while_room_is_waited_for_and_no_longer(cluster, asked):
    cluster += [[2.0], [2.0], [2.0, 2.0]]
    assert await_room(need(3), can_grow=True) == 3
    assert asked == [[{"CPU": 1}] * 3, []]
    with pytest.raises(ClusterError):
        await_room(need(8), can_grow=True)
    assert asked[2:] == [[{"CPU": 1}] * 8, []]


def test_nobody_is_asked_where_there_is_room(cluster, asked):
    cluster.append([2.0, 2.0])
    await_room(need(2), can_grow=True)
    assert asked == []


def test_nodes_with_another_gpu_are_not_asked_for(cluster, asked):
    cluster.append([2.0])
    with pytest.raises(ClusterError):
        await_room(need(1, gpus_per_worker=1, accelerator_type="L4"), can_grow=True)
    assert asked[0] == [{"CPU": 1, "GPU": 1, "accelerator_type:L4": 0.001}]
