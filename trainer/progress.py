"""Where a run stands, and how often something happens.

Owns the arithmetic between steps, pictures and epochs, and intervals as people
write them. Knows nothing of clocks: minutes are compared by the caller.
"""

import math
import re
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
            raise ConfigError(f"{text!r} is not a whole number of steps", expected="e.g. 500")
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


@dataclass(frozen=True)
class Progress:
    """A position in a run, counted in steps.

    Attributes:
        step: Finished steps.
        global_batch: Pictures a step.
        train_count: Pictures in one epoch.
    """

    step: int
    global_batch: int
    train_count: int

    @property
    def images_seen(self) -> int:
        """Real pictures shown to the discriminator so far."""
        return self.step * self.global_batch

    @property
    def epoch(self) -> float:
        """Passes over the training pictures so far."""
        return self.images_seen / self.train_count
