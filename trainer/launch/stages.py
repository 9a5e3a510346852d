"""Where the time of restarts goes.

Owns the stretches between the last step before and the first step after one, as one rank
sees them, and their sum over a command, as its driver does. Pure but for the clock; clocks
of several machines are taken for equal.
"""

import time
from dataclasses import dataclass


@dataclass
class Standstill:
    """How long the training of a command stood still between its attempts.

    Attributes:
        since: When the last step was finished, seconds since the epoch; 0: it never stood.
        noticed_at: When the driver noticed that no more came.
        lost_secs: Of all standstills that are over.
    """

    since: float = 0.0
    noticed_at: float = 0.0
    lost_secs: float = 0.0
    _over: bool = True

    def begins(self, moved_at: float, noticed_at: float) -> None:
        """Notes the end of an attempt; one that trained nothing only prolongs the standstill."""
        if self._over:
            self.since, self.noticed_at, self._over = moved_at, noticed_at, False

    def ends(self) -> None:
        """Notes that an attempt trains."""
        if not self._over:
            self.lost_secs += time.time() - self.since
        self._over = True


class Stages:
    """Splits the time from a stop to the next step.

    Args:
        stood_since: When the last step before was finished, seconds since the epoch; 0: this
            is no restart.
        noticed_at: When the driver knew that it had stopped.

    The time from there until now was spent on ending the old workers and getting new ones.
    """

    def __init__(self, stood_since: float, noticed_at: float) -> None:
        self._since = stood_since
        self._found: list[tuple[float, str]] = []
        self._last = stood_since
        self._mark_at(noticed_at, "to notice")
        self.mark("to replace workers")

    def mark(self, name: str) -> None:
        """Ends a stretch: `name` says what it was for."""
        self._mark_at(time.time(), name)

    def told(self) -> str:
        """Returns all stretches in one line, "" where this is no restart."""
        if not self._since:
            return ""
        parts = ", ".join(f"{secs:.1f} s {name}" for secs, name in self._found)
        return f"{self._last - self._since:.1f} s from the last step to this one: {parts}"

    def _mark_at(self, now: float, name: str) -> None:
        self._found.append((max(0.0, now - self._last), name))
        self._last = max(now, self._last)
