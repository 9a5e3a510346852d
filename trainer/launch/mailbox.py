"""The coordinator of a run as its driver has it: the actor through which it and workers speak.

Owns where it runs, and what is said if this program is not to be had there, or the actor is
gone. What it does is `coordinator.py`'s.
"""

import re
from typing import Any

from trainer.errors import ClusterError
from trainer.launch.ray_address import last_line

START_SECS = 300.0
"""How long it may take: the node may have to fetch the program, or install it with pip."""
ANSWER_SECS = 60.0
"""How long it may take to answer the driver."""


def start(name: str, namespace: str, silence_secs: float) -> Any:
    """Starts the coordinator on the driver's node: it is to end with the driver, not before.

    Args:
        name: Of the actor.
        namespace: Ray's.
        silence_secs: See `trainer.launch.coordinator.Coordinator`.

    Returns:
        The actor, ready.

    Raises:
        ClusterError: It cannot be started, for example because the program is not there.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from trainer.launch.coordinator import Coordinator

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_concurrency=32, scheduling_strategy=here)(Coordinator)
    made = actor.options(name=name, namespace=namespace).remote(silence_secs=silence_secs)
    try:
        ray.get(made.__ray_ready__.remote(), timeout=START_SECS)
    except ray.exceptions.RayError as error:
        raise _refused(error) from error
    return made


def begin_attempt(coordinator: Any, attempt: int) -> None:
    """Empties the mailbox for an attempt.

    Raises:
        ClusterError: The actor has died, or does not answer.
    """
    import ray

    try:
        ray.get(coordinator.begin_attempt.remote(attempt), timeout=ANSWER_SECS)
    except ray.exceptions.RayError as error:
        raise ClusterError(
            "this run's coordinator, a process of Ray's on the driver's node, does not answer: "
            f"{last_line(error)}",
            expected="one that lives as long as the command",
            remedy="run the same command again: it goes on from the newest checkpoint; if memory "
            "is short on that node, give it more",
        ) from error


def _refused(error: Exception) -> ClusterError:
    missing = re.search(r"No module named '[^']+'", str(error))
    if missing:
        return ClusterError(
            f"the cluster's nodes cannot run this program: {missing[0]}",
            expected="nodes that have it, with what it requires",
            remedy="cluster.package=code sends the program, cluster.package=pip also what it "
            "requires; or start the nodes from an image that has both",
        )
    words = " ".join(str(error).split())
    return ClusterError(
        f"the cluster cannot start this run's coordinator: {words[:300]}",
        expected="a node that can run this program",
        remedy="look at the logs of Ray on the driver's node, or ask 'catgan doctor'",
    )
