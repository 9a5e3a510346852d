"""The last checkpoint of a run whose rank 0 stands on a machine that is taken away.

Owns who publishes it, and in which order: rank 0 makes the rows durable that belong
before it, then the lowest rank that stays publishes. Every rank holds the whole state,
so nothing is sent. Does not own the decision to stop, see `preemption.py`, nor how a
checkpoint is written.
"""

from collections.abc import Callable, Mapping
from typing import Any

from trainer.agreement import Agreement
from trainer.callbacks.base import StepCallback
from trainer.callbacks.checkpointing import Store
from trainer.callbacks.metrics import RowLog


def heir(going: set[int], world_size: int) -> int:
    """Returns the rank that publishes when some are going: the lowest that stays, or 0."""
    return next((rank for rank in range(world_size) if rank not in going), 0)


def agreed_heir(agreement: Agreement) -> int:
    """Returns the rank that all ranks have heard is to publish; 0 while nobody else is.

    Ranks hear of machines one after another; whoever knows of more names a higher rank.
    """
    return max(0, int(max(agreement.heard_by_rank("heir"))) - 1)


class Handover(StepCallback):
    """Hands the last checkpoint over to another rank where rank 0 is going.

    After the call in which all ranks heard of the stop and of the heir, rank 0 settles what
    it has written, and the heir keeps a copy of its state. Training goes on until all have
    heard that rank 0 is done, one more call; then the heir publishes the kept state. Steps
    since are lost: their rows may be, and no checkpoint may come before its rows.

    Args:
        total_steps: Steps of the whole run; the last one is never handed over.
        going: Returns the ranks on machines that are taken away, as far as this one knows.
        store: Of this rank: rank 0's may have a checkpoint under way, the heir's writes one.
        rows: Of this rank; only rank 0 has any.
        meta: `step -> what a checkpoint holds besides arrays`.

    Attributes:
        step: Whose checkpoint was handed over, None for none.
    """

    def __init__(
        self,
        total_steps: int,
        going: Callable[[], set[int]],
        store: Store,
        rows: RowLog,
        meta: Callable[[int], Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self._total_steps = total_steps
        self._going = going
        self._store = store
        self._rows = rows
        self._meta = meta
        self._heir = 0
        self._kept: tuple[int, dict[str, Any], dict[str, Any]] | None = None
        self.step: int | None = None

    def due(self) -> bool:
        """Whether rank 0 is to publish nothing more; the same on all ranks after a call."""
        agreement = self.model.agreement
        if not agreement.heard("stop") or self.model.step >= self._total_steps:
            return False
        return bool(self._heir or agreed_heir(agreement))

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Names the heir as this rank sees it, with the next call."""
        agreement = self.model.agreement
        if going := self._going():
            agreement.say_of_rank("heir", 1.0 + heir(going, agreement.world_size))

    def ready(self, step: int) -> bool:
        """Does what is to be done before all stop; to be called after every call from the stop on.

        Returns:
            Whether the fit may end now, alike on all ranks.
        """
        if not self.due():
            self.step = None
            return True
        agreement = self.model.agreement
        if self.step is None:
            self.step, self._heir = step, agreed_heir(agreement)
            self._prepare(step)
            return False
        if not agreement.heard("flushed"):
            return False
        if self._kept is not None:
            self._store.save(*self._kept)
        return True

    def _prepare(self, step: int) -> None:
        agreement = self.model.agreement
        if agreement.rank == 0:
            self._store.wait()
            self._rows.flush()
            agreement.say("flushed")
        elif agreement.rank == self._heir and self.model.is_finite:
            self._kept = step, self.model.state(), dict(self._meta(step))

    def end(self, step: int) -> None:
        """Waits until the checkpoint is published."""
        if self._kept is not None:
            self._store.wait()
