"""Ends the fit at the last step of the run."""

from typing import Any

from trainer.callbacks.base import StepCallback


class Ending(StepCallback):
    """Stops after `total_steps`; `fit` itself sees an endless stream.

    Args:
        total_steps: Steps of the whole run.
    """

    def __init__(self, total_steps: int) -> None:
        super().__init__()
        self._total_steps = total_steps

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Stops where the run is finished."""
        if step >= self._total_steps:
            self.model.stop_training = True
