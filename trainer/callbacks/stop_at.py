"""Ends the fit at a given step, before the run's own end.

Owns nothing of the run: its config and schedule stay what they are, and the
checkpoint of that step is `checkpointing`'s.
"""

from typing import Any

from trainer.callbacks.base import StepCallback


class StopAt(StepCallback):
    """Stops once `step` steps are finished; a call of several steps is not cut.

    Args:
        step: Finished steps of the run, not of this start.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Stops where the step is reached."""
        if step >= self._step:
            self.model.stop_training = True
