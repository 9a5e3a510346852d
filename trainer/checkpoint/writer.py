"""The store that training hands its checkpoints to.

Owns the one background thread, the queue of length one and what happens to errors
there. How a checkpoint is written is `trainer.checkpoint.publish`'s; what is
deleted afterwards is `trainer.checkpoint.retention`'s.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np

from trainer.checkpoint.format import PART_BYTES, check_state
from trainer.checkpoint.publish import Publisher, Snapshot
from trainer.checkpoint.retention import Policy, Retention
from trainer.errors import CatganError, CheckpointError, StorageError
from trainer.run_folder import RunFolder, step_name

log = logging.getLogger("catgan.checkpoint")


class CheckpointStore:
    """Saves checkpoints of one start behind training's back. To be used from one thread.

    Args:
        run: The run folder.
        start: Number of this start, from `begin`.
        keep_last: How many of the newest checkpoints stay.
        keep_every_steps: Steps divisible by this stay for good; 0 for none.
        before_publish: Called in the background with the step, after the parts are up and
            before the manifest is: what must be durable first is flushed there.
        published: Called in the background with the step of each checkpoint that counts now.
        part_bytes: Most tensor bytes of a part.
        upload_threads: Parts that are serialised and uploaded at once.
        prunes: Whether it deletes old checkpoints; not where it does not know which is the best.

    Attributes:
        waits: How many saves had to wait for the one before.
        waited_secs: How long they waited in all.
        last_published: The newest step that this store published, or None.
        best: Set to the best step by the run's metric to keep it.
        measured: Set to the steps that are being measured to keep them meanwhile.
        refuse: Set to what raises a CatganError for a step and a state that must not be kept;
            called in the background.
    """

    def __init__(
        self,
        run: RunFolder,
        start: int,
        *,
        keep_last: int = 3,
        keep_every_steps: int = 0,
        before_publish: Callable[[int], None] | None = None,
        published: Callable[[int], None] = lambda step: None,
        part_bytes: int = PART_BYTES,
        upload_threads: int = 4,
        prunes: bool = True,
    ):
        self._publisher = Publisher(
            run,
            start,
            before_publish=before_publish,
            part_bytes=part_bytes,
            upload_threads=upload_threads,
        )
        self._published = published
        self._prunes = prunes
        self._retention = Retention(run, start, Policy(keep_last, keep_every_steps))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._lock = threading.Lock()
        self._errors: list[CatganError] = []
        self.waits = 0
        self.waited_secs = 0.0
        self.last_published: int | None = None
        self.best: int | None = None
        self.measured: frozenset[int] = frozenset()
        self.refuse: Callable[[int, Mapping[str, np.ndarray]], None] = lambda step, state: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def errors(self) -> tuple[CatganError, ...]:
        """All errors so far, also those that were raised."""
        with self._lock:
            return tuple(self._errors)

    def save(self, step: int, state: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Begins to save a checkpoint and returns, in milliseconds if none is under way.

        If the one before has not finished, waits for it first (counted in `waits`).

        Args:
            step: Finished steps.
            state: Host arrays by name. They belong to the store now: hand over copies.
            meta: Plain values for the manifest; `images_seen` must be among them.

        Raises:
            CheckpointError: The *previous* save failed because a later start took over, or
                this state cannot be held.
            StorageError: The previous save could not be written.
        """
        check_state(state)
        snapshot = Snapshot(step, int(meta["images_seen"]), dict(state), dict(meta))
        if self._pending is not None and not self._pending.done():
            self.waits += 1
            began = time.monotonic()
            log.info(
                "%s waits for the checkpoint before it (%s so far in this start)",
                step_name(step),
                f"{self.waits:,}",
            )
            self._settle()
            self.waited_secs += time.monotonic() - began
        self._settle()
        self._pending = self._pool.submit(self._save, snapshot)

    def wait(self) -> None:
        """Waits until nothing is under way; raises what went wrong, once."""
        self._settle()

    def close(self) -> None:
        """Waits, then ends the background thread; raises what went wrong, once."""
        try:
            self._settle()
        finally:
            self._pool.shutdown(wait=True)

    def _settle(self) -> None:
        pending = self._pending
        if pending is None:
            return
        error = pending.exception()  # waits; a Ctrl-C meanwhile leaves it pending
        self._pending = None
        if error is not None:
            raise error

    def _save(self, snapshot: Snapshot) -> None:
        """Runs in the background thread."""
        try:
            self.refuse(snapshot.step, snapshot.tensors)
            self._publisher.publish(snapshot)
        except CatganError as error:
            with self._lock:
                self._errors.append(error)
            raise
        except Exception as error:
            wrapped = CheckpointError(
                f"saving {step_name(snapshot.step)} failed: {type(error).__name__}: {error}",
                expected="a checkpoint to be written",
                remedy="run again with --traceback and report what it shows",
            )
            with self._lock:
                self._errors.append(wrapped)
            raise wrapped from error
        self.last_published = snapshot.step
        self._published(snapshot.step)
        if not self._prunes:
            return
        try:
            self._retention.prune(snapshot.step, self.best, self.measured)
        except (StorageError, CheckpointError) as error:
            # The checkpoint is safe; what is too much now will be deleted after the next.
            log.warning("old checkpoints were not deleted: %s", error.what)
