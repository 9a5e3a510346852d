"""The callback that tells a worker's line to the driver of every finished call.

Owns nothing else; it is apart from `check_in.py` because callbacks import Keras, and the
driver does not.
"""

import logging
from typing import Any

from trainer.callbacks.base import StepCallback
from trainer.launch.check_in import CheckIn
from trainer.launch.stages import Stages

log = logging.getLogger("catgan")


class Moved(StepCallback):
    """Tells the line of every finished call and of the last, and how long a restart took.

    Args:
        line: Is told.
        stages: Of this worker's start.
    """

    def __init__(self, line: CheckIn, stages: Stages) -> None:
        super().__init__()
        self._line = line
        self._stages = stages

    def begin(self, step: int) -> None:
        """Notes where training begins."""
        self._line.begins(step)

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Notes the step."""
        first = self._line.trained_at is None
        self._line.moved(step)
        if not first:
            return
        self._stages.mark("to do a first step")
        if told := self._stages.told():
            log.info("%s", told)

    def end(self, step: int) -> None:
        """Notes that no step follows; before other callbacks wait for what they have begun."""
        self._line.ends(step)
