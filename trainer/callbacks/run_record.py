"""Keeps `run.json` up to date while training goes on.

Owns when progress is noted. The record and its compare-and-swap are in
`trainer.run_folder`; writing it is done behind the training.
"""

import time
from typing import Any

from trainer.callbacks.background import Background
from trainer.callbacks.base import StepCallback
from trainer.run_folder import RunFolder
from trainer.run_folder.folder import PROGRESS_SECS


class RunProgress(StepCallback):
    """Notes step and pictures seen, at most every 5 s.

    If a later start took the run over, the error that says so ends this one.

    Args:
        run: The run folder.
        start: Number of this start.
        global_batch: Pictures a step.
    """

    def __init__(self, run: RunFolder, start: int, global_batch: int) -> None:
        super().__init__()
        self._run = run
        self._start = start
        self._global_batch = global_batch
        self._behind = Background("run-record", max_waiting=1)
        self._noted_at = time.monotonic()

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Hands the step over if the last note is old enough and was written."""
        if self._behind.busy or time.monotonic() - self._noted_at < PROGRESS_SECS:
            return
        self._noted_at = time.monotonic()
        seen = step * self._global_batch
        self._behind.submit(lambda: self._note(step, seen))

    def _note(self, step: int, images_seen: int) -> None:
        self._run.note_progress(self._start, step, images_seen)

    def close(self) -> None:
        """Waits for a note under way."""
        self._behind.close()
