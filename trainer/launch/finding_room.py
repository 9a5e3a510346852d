"""Waiting until a cluster has room for the workers of a run.

Owns how long is waited, for how many workers, and what is said meanwhile. Counting
places is `room.py`'s; why a wait is given up early is the caller's to say.
"""

import logging
import time
from collections.abc import Callable

from trainer.config.cluster import ClusterSettings

_POLL_SECS = 1.0
# Ray frees what an ended group had within a moment, and notices a dead node within seconds.
_FREEING_SECS = 10.0
_PATIENCE_SECS = 2.0

log = logging.getLogger("catgan")


def await_room(
    need: ClusterSettings, *, can_grow: bool, each_poll: Callable[[], None] = lambda: None
) -> int:
    """Waits until there is room for the fewest workers; returns how many there is room for.

    Args:
        need: The config's `cluster` section.
        can_grow: Nodes may come, or other jobs end; without that, too small a cluster is
            refused at once.
        each_poll: Called about once a second; ends the wait by raising.

    Raises:
        ClusterError: There is no room, and none can be hoped for or `start_timeout_secs` are
            over. Says what was asked for, what there is and what can be had.
    """
    from trainer.launch import room

    began, told = time.monotonic(), False
    while True:
        each_poll()
        nodes = room.nodes()
        free, capacity = (room.places(nodes, need, free=flag) for flag in (True, False))
        waited = time.monotonic() - began
        settled = free >= capacity or waited > _FREEING_SECS
        if free >= need.max_workers or (free >= need.min_workers and settled):
            return min(free, need.max_workers)
        over = waited > need.start_timeout_secs
        if over or (capacity < need.min_workers and not can_grow):
            raise room.missing(nodes, need, waited if over else 0.0)
        if not told and (capacity < need.min_workers or waited > _PATIENCE_SECS):
            what = room.told(nodes, need)
            log.warning("%s; waiting up to %g s for room", what, need.start_timeout_secs)
            told = True
            _ask_autoscaler(need)
        time.sleep(_POLL_SECS)


def free_places(need: ClusterSettings) -> int:
    """Returns how many more workers there is room for now."""
    from trainer.launch import room

    return room.places(room.nodes(), need, free=True)


def _ask_autoscaler(need: ClusterSettings) -> None:
    """Tells an autoscaler what is waited for; without one, nothing happens."""
    from ray.autoscaler.sdk import request_resources

    bundle: dict[str, float] = {"CPU": need.cpus_per_worker}
    if need.gpus_per_worker:
        bundle["GPU"] = need.gpus_per_worker
    try:
        request_resources(bundles=[bundle] * need.max_workers)
    except Exception as error:
        log.debug("no autoscaler was asked: %s", error)
