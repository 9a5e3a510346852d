"""Which workers stand on machines that will be taken away.

Owns reading what Ray Train knows of draining nodes. Does not own what is done about it,
see `trainer.callbacks.preemption`.

Ray's public `ray.train.get_preemption_info` is a barrier of all ranks without a limit, so
it cannot be asked at every step. What it hands out lies in every worker's train context,
where Ray 2.60 puts it a few seconds after a node began to drain
(RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S, 5 s by default). Both are alpha: where they are
absent or have changed, there are no notices, and the run goes on without.
"""

import logging

log = logging.getLogger("catgan.ray")
_told_absent = False


def draining_ranks() -> set[int]:
    """Returns the ranks on nodes that Ray is draining; empty where that is not known.

    For a worker's train function, in any thread. Reads memory only; a rank may hear of it
    earlier than another, so ranks that act together must agree first.
    """
    global _told_absent
    try:
        from ray.train.v2._internal.execution.context import get_train_context

        info = get_train_context().preemption_context.preemption_info
        return set() if info is None else {int(rank) for rank in info.preempted_ranks}
    except Exception as error:  # a private place: whatever it has become, training goes on
        if not _told_absent:
            _told_absent = True
            log.debug("this Ray tells nothing of draining nodes: %r", error)
        return set()
