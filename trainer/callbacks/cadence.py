"""Which steps are due for a checkpoint, a grid, a row of figures. Pure.

Owns the arithmetic of what is due when, so that the worker can end its calls
there and every callback agrees with it. Does not do any of it, and reads no
clock: intervals in minutes are compared with a time that the caller gives.
"""

from dataclasses import dataclass, field

from trainer.config import Config
from trainer.progress import Interval


@dataclass(frozen=True)
class Cadence:
    """One thing that comes back every so many steps, or every so many seconds.

    Attributes:
        every_steps: Due at multiples of this; 0: not by steps.
        every_secs: Due once so much time has passed; 0: not by time.
        early: Also due at steps 0, 1, 2, 4, 8 and so on.
    """

    every_steps: int
    every_secs: float = 0.0
    early: bool = False

    @classmethod
    def of(
        cls, interval: Interval, global_batch: int, train_count: int, *, early: bool = False
    ) -> "Cadence":
        """Turns an interval as people write it into steps or seconds."""
        return cls(interval.steps(global_batch, train_count), interval.secs, early)

    def due(self, step: int) -> bool:
        """Returns whether `step` finished steps are due, whatever the clock says."""
        if self.early and step & (step - 1) == 0:
            return True
        return bool(self.every_steps) and step > 0 and step % self.every_steps == 0

    def next_after(self, step: int) -> int | None:
        """Returns the first due step above `step`, or None if there is none by steps."""
        candidates = []
        if self.every_steps:
            candidates.append((step // self.every_steps + 1) * self.every_steps)
        if self.early:
            candidates.append(1 << step.bit_length() if step else 1)
        return min(candidates, default=None)


@dataclass(frozen=True)
class Schedule:
    """All that is due in one run.

    Attributes:
        total_steps: The step at which the run is finished; everything is due there.
        checkpoint: Cadence of checkpoints.
        samples: Cadence of grids.
        metrics: Cadence of rows of figures.
    """

    total_steps: int
    checkpoint: Cadence
    samples: Cadence
    metrics: Cadence

    @classmethod
    def of(cls, config: Config, train_count: int) -> "Schedule":
        """Reads the intervals of a config for a data set of `train_count` pictures."""
        batch = config.training.global_batch
        return cls(
            config.training.steps,
            Cadence.of(config.checkpoint.every_steps, batch, train_count),
            Cadence.of(config.samples.every_steps, batch, train_count, early=True),
            Cadence.of(config.metrics.every_steps, batch, train_count),
        )

    def next_boundary(self, step: int) -> int:
        """Returns the first step above `step` at which a call from Python must end.

        At the end of the run it returns `total_steps`.
        """
        nexts = (c.next_after(step) for c in (self.checkpoint, self.samples, self.metrics))
        return min([self.total_steps, *(n for n in nexts if n is not None)])


@dataclass
class Due:
    """A cadence while it runs: remembers when it was last done.

    Only one process asks (rank 0), so that its clock alone decides.
    """

    cadence: Cadence
    total_steps: int
    last_secs: float
    last_step: int = field(default=-1)

    def now(self, step: int, secs: float) -> bool:
        """Returns whether it is due at `step`, `secs` on the caller's clock; notes it if so."""
        by_clock = self.cadence.every_secs and secs - self.last_secs >= self.cadence.every_secs
        at_end = step >= self.total_steps
        if step == self.last_step or not (by_clock or at_end or self.cadence.due(step)):
            return False
        self.last_secs, self.last_step = secs, step
        return True
