"""Waiting until a cluster has room for the workers of a run.

Owns how long is waited, for how many workers, and what is said meanwhile. Counting
places is `room.py`'s; why a wait is given up early is the caller's to say.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from trainer.config.cluster import ClusterSettings

_POLL_SECS = 1.0
# Ray frees what an ended group had within a moment, and notices a dead node within seconds.
_FREEING_SECS = 10.0
_PATIENCE_SECS = 2.0
# Ray waits for a head that is gone in native code, for a minute.
_ANSWER_SECS = 5.0

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
    with contextlib.ExitStack() as asked:
        while True:
            each_poll()
            nodes = room.node_rooms()
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
                _ask_autoscaler(need, need.max_workers)
                # Else no node is ever given back; workers hold those they got by themselves.
                asked.callback(_ask_autoscaler, need, 0)
            time.sleep(_POLL_SECS)


def free_places(need: ClusterSettings) -> int:
    """Returns how many more workers there is room for now."""
    from trainer.launch import room

    return room.places(room.node_rooms(), need, free=True)


def _ask_autoscaler(need: ClusterSettings, workers: int) -> None:
    """Tells an autoscaler how many workers there is to be room for, until it is told anew.

    Without an autoscaler nothing happens, and without a head it is not waited for.
    """
    from ray.autoscaler.sdk import request_resources

    def ask() -> None:
        try:
            request_resources(bundles=[_bundle(need)] * workers)
        except Exception as error:
            log.debug("no autoscaler was asked: %s", error)

    asking = threading.Thread(target=ask, name="autoscaler", daemon=True)
    asking.start()
    asking.join(_ANSWER_SECS)


def _bundle(need: ClusterSettings) -> dict[str, float]:
    """What one worker asks of Ray, as Ray Train will."""
    bundle: dict[str, float] = {"CPU": need.cpus_per_worker}
    if need.gpus_per_worker:
        bundle["GPU"] = need.gpus_per_worker
    if need.accelerator_type:
        bundle[f"accelerator_type:{need.accelerator_type}"] = 0.001
    return bundle
