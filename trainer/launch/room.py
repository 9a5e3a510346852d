"""Whether a cluster has room for the workers of a run, and what to say if not.

Owns counting places on nodes and the words about it. Asks Ray for its nodes;
places nothing itself and waits for nothing, see `finding_room.py`.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

from trainer.config.cluster import ClusterSettings
from trainer.errors import ClusterError

_ACCELERATOR = "accelerator_type:"


@dataclass(frozen=True)
class NodeRoom:
    """One machine of a cluster, and what it has to give.

    Attributes:
        host: Name or address.
        total: Resources it has, as Ray counts them: `CPU`, `GPU`, `accelerator_type:L4` …
        free: Those that nobody uses now.
    """

    host: str
    total: Mapping[str, float]
    free: Mapping[str, float]


def node_rooms() -> list[NodeRoom]:
    """Returns the living nodes that are not about to be taken away."""
    going, free = _draining(), _free_by_node()
    return [
        NodeRoom(node["NodeManagerHostname"], node["Resources"], free.get(node["NodeID"], {}))
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in going
    ]


def _draining() -> set[str]:
    # Not public in Ray 2.60. Without it, a node that goes is counted a little too long.
    with contextlib.suppress(Exception):
        return set(ray._private.state.state.get_draining_nodes())
    return set()


def _free_by_node() -> dict[str, Mapping[str, float]]:
    # Not public either. Without it, what is in use counts as free, and Ray itself waits.
    with contextlib.suppress(Exception):
        return dict(ray._private.state.available_resources_per_node())
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def places(nodes: Sequence[NodeRoom], need: ClusterSettings, *, free: bool) -> int:
    """Returns how many workers the nodes have room for.

    Args:
        nodes: Of the cluster.
        need: What one worker needs.
        free: Count only what nobody uses now.
    """
    return sum(_places(node.free if free else node.total, node.total, need) for node in nodes)


def _places(there: Mapping[str, float], total: Mapping[str, float], need: ClusterSettings) -> int:
    if need.accelerator_type and f"{_ACCELERATOR}{need.accelerator_type}" not in total:
        return 0
    fits = there.get("CPU", 0.0) // need.cpus_per_worker
    if need.gpus_per_worker:
        fits = min(fits, there.get("GPU", 0.0) // need.gpus_per_worker)
    return int(fits)


def told(nodes: Sequence[NodeRoom], need: ClusterSettings) -> str:
    """Says what was asked for, what there is, and for how many workers it is enough."""
    free, capacity = (places(nodes, need, free=flag) for flag in (True, False))
    return (
        f"{asked(need)} asked for, and the cluster has {had(nodes)}: "
        f"room for {free} now, {capacity} if nothing else ran"
    )


def missing(nodes: Sequence[NodeRoom], need: ClusterSettings, waited_secs: float) -> ClusterError:
    """Returns the error of a cluster without room.

    Args:
        nodes: Of the cluster.
        need: What one worker needs, and how many there are to be.
        waited_secs: How long room was waited for; 0: not at all.
    """
    waited = f", after {waited_secs:.0f} s of waiting" if waited_secs else ""
    longer = ", or wait longer: cluster.start_timeout_secs=…" if waited_secs else ""
    return ClusterError(
        told(nodes, need) + waited,
        expected="room for the fewest workers of cluster.workers, each on one node",
        remedy=f"{_can_be_had(nodes, need)}, or add nodes{longer}",
    )


def _can_be_had(nodes: Sequence[NodeRoom], need: ClusterSettings) -> str:
    """Says what to change so that there would be room."""
    free, capacity = (places(nodes, need, free=flag) for flag in (True, False))
    if capacity >= need.min_workers:
        fewer = f"ask for what is free (cluster.workers={free}), or " if free else ""
        return f"{fewer}let what else runs there end"
    if capacity:
        return f"ask for what can be had: cluster.workers={capacity}"
    kinds = _kinds(nodes)
    if need.accelerator_type and need.accelerator_type not in kinds:
        there = f"cluster.accelerator_type={kinds[0]}" if kinds else "cluster.accelerator_type=''"
        return f"ask for what can be had: {there}"
    if need.gpus_per_worker and not any(node.total.get("GPU") for node in nodes):
        return "train without GPUs: cluster.gpus_per_worker=0"
    most = int(max((node.total.get("CPU", 0.0) for node in nodes), default=0.0))
    if most:
        return f"ask for what can be had: cluster.cpus_per_worker={most}"
    return "give the cluster's nodes cores (ray start --num-cpus)"


def asked(need: ClusterSettings) -> str:
    """Says what the fewest workers need, in words that go on with a verb in the past."""
    least = "at least " if need.max_workers > need.min_workers else ""
    gpu = f" and {need.gpus_per_worker} GPU" if need.gpus_per_worker else ""
    kind = f" ({need.accelerator_type})" if need.accelerator_type else ""
    each, were = (" each", "were") if need.min_workers > 1 else ("", "was")
    one = f"{_several(need.cpus_per_worker, 'core')}{gpu}{kind}"
    return f"{least}{_several(need.min_workers, 'worker')} with {one}{each} {were}"


def had(nodes: Sequence[NodeRoom]) -> str:
    """Says what a cluster has, in words."""
    cpus, free_cpus = _sums(nodes, "CPU")
    gpus, free_gpus = _sums(nodes, "GPU")
    kinds = _kinds(nodes)
    kind = f" of kind {', '.join(kinds)}" if kinds else ""
    return (
        f"{_several(len(nodes), 'node')} with {_several(cpus, 'core')} ({free_cpus:g} free) and "
        f"{_several(gpus, 'GPU')}{kind} ({free_gpus:g} free)"
    )


def _kinds(nodes: Sequence[NodeRoom]) -> list[str]:
    names = {name for node in nodes for name in node.total}
    return sorted(n.removeprefix(_ACCELERATOR) for n in names if n.startswith(_ACCELERATOR))


def _sums(nodes: Sequence[NodeRoom], name: str) -> tuple[float, float]:
    return (
        sum(node.total.get(name, 0.0) for node in nodes),
        sum(node.free.get(name, 0.0) for node in nodes),
    )


def _several(count: float, noun: str) -> str:
    return f"{count:g} {noun}" + ("" if count == 1 else "s")
