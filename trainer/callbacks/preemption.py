"""Ending the training on request, on every worker after the same step.

Owns the decision to end the fit after the current call. Why is `stop_requests.py`'s;
the checkpoint that follows is `checkpointing`'s, or `handover`'s.
"""

import logging
from collections.abc import Callable
from typing import Any

from trainer.callbacks.base import StepCallback
from trainer.callbacks.stop_requests import StopRequests

log = logging.getLogger("catgan")


class Preemption(StepCallback):
    """Ends the fit once a stop was asked for, on every rank after the same call.

    A rank that stopped by itself would leave the others waiting in their next
    collective, so it only says that it wants to; see `trainer.agreement`.

    Args:
        requests: Remembers why.
        ready: `step -> may the fit end now`; asked after every call from the stop on, and
            answers alike on all ranks.
    """

    def __init__(
        self, requests: StopRequests, ready: Callable[[int], bool] = lambda step: True
    ) -> None:
        super().__init__()
        self._requests = requests
        self._ready = ready

    def begin(self, step: int) -> None:
        """Lets signals wait for the end of a call from now on."""
        self._requests.training_begins()

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Tells the others of a wish to stop, and stops when all have heard of one."""
        agreement = self.model.agreement
        if cause := self._requests.cause():
            agreement.say("stop")
        if agreement.heard("stop") and self._ready(step):
            log.info("stopping after step %s: %s", f"{step:,}", cause or "another worker asked")
            self.model.stop_training = True
