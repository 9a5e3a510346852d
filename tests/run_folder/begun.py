"""Starts that claim a run and settle at once."""

from typing import Any

from trainer.run_folder import NewRun, RunFolder


def begin_start(
    run: RunFolder, first_step: int, new: NewRun, *, images_seen: int = 0, **told: Any
) -> int:
    """Claims and settles in one go, whatever checkpoints there are; returns the start's number."""
    number = run.claim_start(new, **told)
    run.settle_start(number, first_step, images_seen)
    return number
