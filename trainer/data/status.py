"""What `prepare` says of where it stands.

Owns the shape of a report; showing it is `watch.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """Where `prepare` stands.

    Attributes:
        phase: `listing`, `converting`, `comparing` or `writing`.
        done: Files or pictures done in this phase.
        total: How many there are, None while they are still being listed.
        kept: Pictures converted so far.
        rejected: Files rejected so far.
    """

    phase: str
    done: int
    total: int | None
    kept: int = 0
    rejected: int = 0


Report = Callable[[Status], None]
