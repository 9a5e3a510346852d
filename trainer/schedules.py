"""Values that change over the course of a run, as functions of the pictures seen.

Owns how such a value is written (`2e-4 to 5e-5 cosine over 20000000`) and its
arithmetic, on numbers and on tensors alike. What is scheduled is the config's.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_FORM = re.compile(
    rf"^\s*({_NUMBER})\s+to\s+({_NUMBER})(?:\s+(cosine|linear))?"
    rf"(?:\s+over\s+({_NUMBER})(?:\s+(?:images|pictures))?)?\s*$"
)


@dataclass(frozen=True)
class ValueSchedule:
    """A value that goes from `first` to `last` and stays there.

    Attributes:
        first: The value before any picture was seen.
        last: The value from `over_images` on.
        shape: `cosine` (half a cosine: Loshchilov and Hutter 2017, eq. 5, without restarts) or
            `linear`.
        over_images: Pictures seen until `last` is reached; 0: the whole run.
    """

    first: float
    last: float
    shape: str = "cosine"
    over_images: float = 0

    @classmethod
    def parse(cls, text: str) -> "ValueSchedule":
        """Reads `A to B`, optionally `cosine` or `linear`, optionally `over N`; else ValueError."""
        match = _FORM.match(text)
        over = float(match[4]) if match and match[4] else 0.0
        if not match or (match[4] and not 1 <= over < math.inf):
            raise ValueError(
                "a number, or a schedule such as '2e-4 to 5e-5', '2e-4 to 5e-5 linear' or "
                "'0 to 0.3 cosine over 1000000' (pictures)"
            )
        return cls(float(match[1]), float(match[2]), match[3] or "cosine", over)

    def __str__(self) -> str:
        over = f" over {self.over_images:.15g}" if self.over_images else ""
        return f"{self.first!r} to {self.last!r} {self.shape}{over}"


Value = float | ValueSchedule


def value_at(value: Value, images_seen: Any, run_images: int, maths: Any = math) -> Any:
    """Returns the value after `images_seen` pictures.

    Args:
        value: A number or a schedule.
        images_seen: Real pictures shown so far; a number, or a float64 scalar tensor.
        run_images: Pictures of the whole run.
        maths: Has `cos`; and for tensors `minimum`, e.g. `tf.math`.
    """
    if not isinstance(value, ValueSchedule):
        return value
    smaller = min if maths is math else maths.minimum
    done = smaller(images_seen / (value.over_images or run_images), 1.0)
    gone = done if value.shape == "linear" else 0.5 - 0.5 * maths.cos(math.pi * done)
    return value.first + (value.last - value.first) * gone


def largest(value: Value) -> float:
    """Returns the largest value of the whole course."""
    return max(value.first, value.last) if isinstance(value, ValueSchedule) else value


def scaled(value: Value, factor: float) -> Value:
    """Returns the value multiplied by a number, all along."""
    if not isinstance(value, ValueSchedule):
        return value * factor
    first, last = value.first * factor, value.last * factor
    return ValueSchedule(first, last, value.shape, value.over_images)
