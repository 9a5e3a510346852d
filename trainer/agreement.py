"""What workers tell one another with every step.

Owns what can be said and what was heard. The step's own collective carries it
(`trainer.distribution`), so it costs no message of its own and is the same on
every rank after the same call: ranks can act on it without asking again.
Knows no tensors: a call is given numbers and gives numbers back.
"""

import numpy as np

# Said by any rank, heard as a sum.
NAMES = ("stop", "checkpoint", "report", "flushed")
# Said by every rank for itself, heard as a list.
RANK_NAMES = ("busy_secs", "heir")


class Agreement:
    """What this rank says to all, and what all of them said.

    What is said goes with the next call of steps, and with every later one
    until something else is said. It is heard when that call has ended, by all
    ranks alike; alone it is heard at once. May be told from any thread.

    Args:
        rank: Number of this process.
        world_size: Processes that train together.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank = rank
        self.world_size = world_size
        self._said = np.zeros(len(NAMES) + len(RANK_NAMES) * world_size, np.float32)
        self._heard = self._said if world_size == 1 else np.zeros_like(self._said)

    def say(self, name: str, value: float = 1.0) -> None:
        """Sets what this rank adds to a sum from the next call on; 0 takes it back.

        Args:
            name: One of `NAMES`.
            value: Whole numbers below 2**24 arrive exactly; they travel as float32.

        Raises:
            ValueError: There is no such name.
        """
        self._said[_place(NAMES, name)] = value

    def say_of_rank(self, name: str, value: float) -> None:
        """Sets this rank's entry of a list from the next call on.

        Args:
            name: One of `RANK_NAMES`.
            value: A float32 number.

        Raises:
            ValueError: There is no such name.
        """
        self._said[self._slots(name).start + self.rank] = value

    def heard(self, name: str) -> float:
        """Returns the sum over ranks, as of the last call; 0 before the first."""
        return float(self._heard[_place(NAMES, name)])

    def heard_by_rank(self, name: str) -> list[float]:
        """Returns every rank's entry, as of the last call; zeros before the first."""
        return self._heard[self._slots(name)].tolist()

    @property
    def said(self) -> np.ndarray:
        """What goes into the next call, float32 vector, a copy."""
        return self._said.copy()

    def hear(self, summed: np.ndarray) -> None:
        """Takes the sum over ranks of what all of them said, float32 like `said`."""
        self._heard = np.asarray(summed, np.float32)

    def _slots(self, name: str) -> slice:
        start = len(NAMES) + _place(RANK_NAMES, name) * self.world_size
        return slice(start, start + self.world_size)


def _place(names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise ValueError(f"{name!r} is not said between ranks, only {', '.join(names)} are")
    return names.index(name)
