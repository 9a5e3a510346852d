"""Where a run stands, and how often something happens.

Owns the arithmetic between steps, pictures and epochs, intervals as people
write them, and the timetable of penalties. Knows nothing of clocks: minutes
are compared by the caller.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.errors import ConfigError

_FORM = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(steps?|epochs?|mins?|minutes?)?\s*$")


@dataclass(frozen=True)
class Interval:
    """Every so many steps, epochs or minutes; a value of 0 means never.

    Attributes:
        value: How many of the unit.
        unit: `steps`, `epochs` or `mins`.
    """

    value: float
    unit: str

    @classmethod
    def parse(cls, text: "str | int | float | Interval") -> "Interval":
        """Reads `500`, `500 steps`, `5 epochs` or `10 mins`; raises ConfigError."""
        if isinstance(text, Interval):
            return text
        match = _FORM.match(str(text))
        if not match or isinstance(text, bool):
            raise ConfigError(
                f"{text!r} is not an interval",
                expected="a number of steps, '5 epochs' or '10 mins'",
                remedy="write for example 500, '5 epochs' or '10 mins'",
            )
        value, unit = float(match[1]), (match[2] or "steps")
        unit = {"s": "steps", "e": "epochs", "m": "mins"}[unit[0]]
        if unit == "steps" and value != int(value):
            raise ConfigError(
                f"{text!r} is not a whole number of steps",
                expected="a whole number",
                remedy=f"write {round(value)}, or an interval in epochs or minutes",
            )
        return cls(value, unit)

    def steps(self, global_batch: int, train_count: int) -> int:
        """Returns the interval in steps (at least 1), or 0 for never and for minutes."""
        if self.value == 0 or self.unit == "mins":
            return 0
        if self.unit == "epochs":
            return max(1, math.ceil(self.value * train_count / global_batch))
        return int(self.value)

    @property
    def secs(self) -> float:
        """Returns the interval in seconds where it is given in minutes, else 0."""
        return self.value * 60 if self.unit == "mins" else 0.0

    def __str__(self) -> str:
        number = int(self.value) if self.value == int(self.value) else self.value
        return str(number) if self.unit == "steps" else f"{number} {self.unit}"


def stretches(step: int, end: int, penalty_every_steps: int) -> Iterator[tuple[int, bool]]:
    """Yields how many of the next steps are alike, and whether a penalty is due in them.

    Args:
        step: Finished steps; the step that follows them is the first.
        end: Finished steps after the last.
        penalty_every_steps: Due in the step that follows so many, or a multiple; 0: never.
    """
    every = penalty_every_steps
    while step < end:
        due = every > 0 and step % every == 0
        alike = end - step
        if every > 1:
            alike = 1 if due else min(alike, every - step % every)
        yield alike, due
        step += alike
