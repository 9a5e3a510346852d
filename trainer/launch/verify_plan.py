"""How many steps a verification trains, and where it breaks runs off.

Owns the choice only; does no I/O.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.config import Config
from trainer.errors import ConfigError

_LEAST_EVERY = 4
# A penalty that comes more seldom than this is not waited for.
_MOST_PENALTY_STEPS = 128


@dataclass(frozen=True)
class Plan:
    """What is tried.

    Attributes:
        steps: Of each run.
        every: Steps between checkpoints; there are three.
        kills: A process is killed after each of these steps.
        deterministic: Whether bits are compared; else sums may differ by rounding.
    """

    steps: int
    every: int
    kills: tuple[int, ...]
    deterministic: bool = True

    @property
    def late_kill(self) -> tuple[int, ...]:
        """Kills after which two checkpoints are there, so that one can be damaged."""
        late = (2 * self.every + max(1, self.every // 2),)
        return self.kills if self.kills[-1] >= late[0] else late


def plan(config: Config, *, steps: int = 0, kills: Sequence[int] = ()) -> Plan:
    """Chooses how many steps are run and where they are broken off.

    By default three short checkpoint intervals, such that a lazy penalty falls behind the
    kill.

    Args:
        config: The person's.
        steps: Of each run; 0: chosen.
        kills: Steps after which a process is killed; empty: in the third interval.

    Raises:
        ConfigError: Too few steps, or a kill that is not within them.
    """
    most = config.training.steps
    every = steps // 3 if steps else min(_interval(config), most // 3)
    total = steps or 3 * every
    if every < 2 or total > most:
        raise ConfigError(
            f"{total} steps cannot be used to verify a run of {most} steps",
            expected=f"from 6 to training.steps={most}: three checkpoints and something to lose",
            remedy="give another --steps, or a larger training.steps",
        )
    wrong = [step for step in kills if not 1 <= step < total]
    if wrong or list(kills) != sorted(set(kills)):
        raise ConfigError(
            f"--kill-at {' '.join(map(str, kills))} cannot be done in {total} steps",
            expected=f"steps from 1 to {total - 1}, each larger than the one before",
            remedy=f"give other steps, or more of them with --steps (now {total})",
        )
    return Plan(total, every, tuple(kills) or (2 * every + max(1, every // 2),))


def _interval(config: Config) -> int:
    """Steps between checkpoints so that a due penalty falls into the third interval."""
    due = config.loss.penalty_every_steps
    if not config.loss.has_penalty or due > _MOST_PENALTY_STEPS:
        return _LEAST_EVERY
    every = _LEAST_EVERY
    while math.ceil(2 * every / due) * due >= 3 * every:
        every += 1
    return every
