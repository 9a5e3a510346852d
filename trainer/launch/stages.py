"""Where the time of a restart goes.

Owns the stretches between the last step before and the first step after it, as one rank
sees them. Pure but for the clock; clocks of several machines are taken for equal.
"""

import time


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
