"""The callback that tells a worker's line to the driver of every finished call.

Owns nothing else; it is apart from `check_in.py` because callbacks import Keras, and the
driver does not.
"""

from typing import Any

from trainer.callbacks.base import StepCallback
from trainer.launch.check_in import CheckIn


class Moved(StepCallback):
    """Tells the line of every finished call.

    Args:
        line: Is told.
    """

    def __init__(self, line: CheckIn) -> None:
        super().__init__()
        self._line = line

    def begin(self, step: int) -> None:
        """Notes where training begins."""
        self._line.begins(step)

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Notes the step."""
        self._line.moved(step)
