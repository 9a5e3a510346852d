"""How fast training goes: time trained, steps and pictures a second.

Owns the clocks that figures are computed from. Does not decide when anything
is reported.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from trainer.progress import stretches


class TrainingClock:
    """Seconds spent in training, over all starts of a run. Runs from its making.

    Args:
        secs_before: Seconds of the starts before this one, from the checkpoint.
    """

    def __init__(self, secs_before: float = 0.0) -> None:
        self.secs_before = secs_before
        self._began = time.monotonic()

    @property
    def secs_this_start(self) -> float:
        """Seconds since this start began to train."""
        return time.monotonic() - self._began

    @property
    def secs(self) -> float:
        """Seconds over all starts."""
        return self.secs_before + self.secs_this_start


@dataclass(frozen=True)
class Stretch:
    """What happened between two moments.

    Attributes:
        steps: Finished in it.
        secs: Its length on the clock.
        wait_share: Part of it spent waiting for data, 0 to 1.
    """

    steps: int
    secs: float
    wait_share: float

    @property
    def steps_per_sec(self) -> float:
        """Steps a second; 0 where nothing was measured."""
        return self.steps / self.secs if self.secs > 0 else 0.0


def kinds_of_steps(first: int, end: int, penalty_every_steps: int) -> set[tuple[bool, bool]]:
    """Returns which compiled functions a call of the train function ran.

    A step with a penalty is another function than one without, and a loop over several
    another than one alone; each compiles when it is first run.

    Args:
        first: Finished steps before the call.
        end: Finished steps after it.
        penalty_every_steps: A penalty is due on steps divisible by this; 0: never.

    Returns:
        Pairs (with a penalty, several in a loop).
    """
    return {(due, alike > 1) for alike, due in stretches(first, end, penalty_every_steps)}


class Pace:
    """Measures the stretch since a mark.

    Args:
        waited_secs: Returns the seconds spent waiting for data so far.
    """

    def __init__(self, waited_secs: Callable[[], float]) -> None:
        self._waited_secs = waited_secs
        self._step = -1
        self._secs = self._waited = 0.0

    @property
    def marked(self) -> bool:
        """Whether there is a mark."""
        return self._step >= 0

    def mark(self, step: int) -> None:
        """Begins a new stretch after `step` finished steps."""
        self._step, self._secs, self._waited = step, time.monotonic(), self._waited_secs()

    def since_mark(self, step: int) -> Stretch:
        """Returns the stretch from the mark to `step` finished steps."""
        if not self.marked:
            return Stretch(0, 0.0, 0.0)
        secs = time.monotonic() - self._secs
        waited = self._waited_secs() - self._waited
        return Stretch(step - self._step, secs, min(1.0, waited / secs) if secs > 0 else 0.0)
