"""Whether a cluster has room for the workers of a run, and what to say if not.

Owns counting places on nodes and the words about it. Asks Ray for its nodes;
places nothing itself.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

from trainer.config.settings import ClusterSettings

_ACCELERATOR = "accelerator_type:"


@dataclass(frozen=True)
class Node:
    """One machine of a cluster.

    Attributes:
        host: Name or address.
        total: Resources it has, as Ray counts them: `CPU`, `GPU`, `accelerator_type:L4` …
        free: Those that nobody uses now.
    """

    host: str
    total: Mapping[str, float]
    free: Mapping[str, float]


def nodes() -> list[Node]:
    """Returns the living nodes that are not about to be taken away."""
    going, free = _draining(), _free_by_node()
    return [
        Node(node["NodeManagerHostname"], node["Resources"], free.get(node["NodeID"], {}))
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


def places(nodes: Sequence[Node], need: ClusterSettings, *, free: bool) -> int:
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


def asked(need: ClusterSettings, workers: int) -> str:
    """Says what a number of workers needs, in words."""
    gpu = f" and {need.gpus_per_worker} GPU" if need.gpus_per_worker else ""
    kind = f" ({need.accelerator_type})" if need.accelerator_type else ""
    return f"{_several(workers, 'worker')} with {_several(need.cpus_per_worker, 'core')}{gpu}{kind}"


def had(nodes: Sequence[Node]) -> str:
    """Says what a cluster has, in words."""
    cpus, free_cpus = _sums(nodes, "CPU")
    gpus, free_gpus = _sums(nodes, "GPU")
    kinds = sorted(
        {
            name.removeprefix(_ACCELERATOR)
            for node in nodes
            for name in node.total
            if name.startswith(_ACCELERATOR)
        }
    )
    kind = f" of kind {', '.join(kinds)}" if kinds else ""
    return (
        f"{_several(len(nodes), 'node')} with {_several(cpus, 'core')} ({free_cpus:g} free) and "
        f"{_several(gpus, 'GPU')}{kind} ({free_gpus:g} free)"
    )


def _sums(nodes: Sequence[Node], name: str) -> tuple[float, float]:
    return (
        sum(node.total.get(name, 0.0) for node in nodes),
        sum(node.free.get(name, 0.0) for node in nodes),
    )


def _several(count: float, noun: str) -> str:
    return f"{count:g} {noun}" + ("" if count == 1 else "s")
