"""Tells Ray of published checkpoints, on all ranks at the same step.

Owns when a pointer checkpoint is reported; what it is, is `pointer.py`'s. A
report is a barrier of all ranks without a limit of its own, so rank 0 says
through the step's collective that it has something to report.
"""

from typing import Any

from trainer.callbacks.base import StepCallback
from trainer.launch import pointer
from trainer.run_folder import RunFolder


class PointerReports(StepCallback):
    """Reports the newest published checkpoint soon after it is published.

    Args:
        folder: The run folder.
        writes: This is the rank that publishes.
    """

    def __init__(self, folder: RunFolder, *, writes: bool) -> None:
        super().__init__()
        self._folder = folder
        self._writes = writes
        self._published: int | None = None
        self._reported: int | None = None

    def published(self, step: int) -> None:
        """Writes the pointer to a published checkpoint; called behind the training."""
        pointer.prepare_pointer(self._folder, step)
        self._published = step

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Reports once all ranks have heard that there is something to report."""
        agreement = self.model.agreement
        if agreement.heard("report"):
            self._report()
        if self._writes:
            # Also of one that was published while Ray held this rank up.
            agreement.say("report", float(self._published != self._reported))

    def report_last(self) -> None:
        """Reports what is published at the end; to be called by all ranks, after training."""
        self._report()

    def _report(self) -> None:
        step = self._published
        metrics = {} if step is None else {"step": step}
        pointer.report(self._folder, step, metrics, writer=self._writes)
        self._reported = step
