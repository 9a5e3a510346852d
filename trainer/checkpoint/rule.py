"""The rule by which a checkpoint counts, and who may delete.

Owns the decisions only, as pure functions of what others have read. Does no I/O,
so that every interleaving of writers can be tried on it
(`tests/checkpoint/test_rule_model.py`).

**A checkpoint counts if its manifest exists, its parts match it, and no later
start began before its step.** A writer that was fenced out, or came back from the
dead, can still upload; it cannot be believed.

How a start takes over, in this order: it *claims* a number in `run.json`, *finds*
the newest checkpoint that counts, *adopts* it (writes its manifest anew, unchanged
but for the adopter's number), and *settles* its first step in `run.json`. Why:

- A deletion is decided before it is done. Whoever deletes has looked for later
  claims first, so it knew no more than what was published before the claim; and
  what was published before the claim is found after it.
- A deletion that was decided before the claim and arrives late carries the
  generation of the manifest it saw. Adoption changed that generation.
- A start that lost the race to another claim cannot settle.
"""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar


class Start(Protocol):
    """What the rule needs to know of a start; `StartRecord` has it."""

    @property
    def number(self) -> int:
        """Counted from 1 in the order of the claims."""

    @property
    def first_step(self) -> int | None:
        """The step it goes on from; None until it has settled."""

    @property
    def ended(self) -> object:
        """Something true once it has ended in an orderly way."""


_AnyStart = TypeVar("_AnyStart", bound=Start)


def superseded_by(step: int, start: int, starts: Iterable[_AnyStart]) -> _AnyStart | None:
    """Returns the first later start that began before the step, or None.

    A start that began *at* the step went on from there: it does not undo the step.

    Args:
        step: Of the checkpoint.
        start: Number of the start that wrote it.
        starts: All starts of the run.
    """
    later = [
        other
        for other in starts
        if other.number > start and other.first_step is not None and other.first_step < step
    ]
    return min(later, key=lambda other: other.number, default=None)


def fenced_by(start: int, starts: Iterable[_AnyStart]) -> _AnyStart | None:
    """Returns the first later start that has settled, or None: whoever is fenced publishes nothing.

    Also a step at or below the later start's first one: that start went on from what was
    published, and may have deleted the step since, with its parts.
    """
    later = [other for other in starts if other.number > start and other.first_step is not None]
    return min(later, key=lambda other: other.number, default=None)


def may_delete(start: int, starts: Iterable[Start]) -> bool:
    """Returns whether a start may delete anything: nobody has claimed the run after it.

    A claim that ended before it settled wrote nothing and is over; it does not stand
    in the way.
    """
    return not any(
        other.number > start and (other.first_step is not None or not other.ended)
        for other in starts
    )


def stays(step: int, keep_every_steps: int) -> bool:
    """Returns whether a step stays for good; `keep_every_steps` is 0 where none does."""
    return bool(keep_every_steps) and step % keep_every_steps == 0


def kept_steps(
    counted: Iterable[int],
    *,
    keep_last: int,
    keep_every_steps: int = 0,
    best: int | None = None,
    measured: Collection[int] = (),
) -> set[int]:
    """Returns which of the counted steps stay.

    Args:
        counted: Steps of the checkpoints that count.
        keep_last: The newest so many stay; at least one does.
        keep_every_steps: Steps divisible by this stay for good; 0 for none.
        best: The best step by the run's metric, if there is one.
        measured: Steps that are being measured, of which one may turn out to be the best.
    """
    steps = sorted(counted)
    kept = set(steps[-max(1, keep_last) :])
    kept.update(step for step in steps if stays(step, keep_every_steps))
    kept.update(step for step in steps if step == best or step in measured)
    return kept


def is_orphan(start: int, *, own_start: int, referenced: bool) -> bool:
    """Returns whether a part can never belong to a checkpoint that counts.

    True of every part that no manifest names, of this start and those before it, once this
    start has published and does not save at the moment: earlier starts are fenced out, and
    what they left is from a kill in the middle of a save or of a deletion.

    Args:
        start: Number of the start in the part's name.
        own_start: Number of the start that asks.
        referenced: Whether the manifest beside the part names it, or might.
    """
    return not referenced and start <= own_start
