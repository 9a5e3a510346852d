"""Work that is done behind the training: one thread, in order, bounded.

Owns the queue and how an error in it comes back to training. Does not know
what the work is.
"""

import collections
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger("catgan")


class Background:
    """Runs jobs one after another in a thread of its own.

    Args:
        name: Of the thread, for a person with a debugger.
        max_waiting: A further job waits its turn once so many are unfinished, so
            slow storage slows training instead of filling memory.
    """

    def __init__(self, name: str, max_waiting: int = 2) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._jobs: collections.deque[Future[None]] = collections.deque()
        self._max_waiting = max_waiting

    @property
    def busy(self) -> bool:
        """Whether a job is unfinished."""
        return bool(self._jobs) and not self._jobs[-1].done()

    def submit(self, job: Callable[[], None]) -> None:
        """Queues a job; raises the error of an earlier one, if there was any."""
        self._collect(keep=self._max_waiting - 1)
        self._jobs.append(self._pool.submit(job))

    def wait(self) -> None:
        """Returns when all jobs are done; raises the first error among them."""
        self._collect(keep=0)

    def close(self) -> None:
        """Finishes all jobs and the thread; raises the first error among them."""
        try:
            self._collect(keep=0)
        finally:
            self._pool.shutdown(wait=True)

    def _collect(self, keep: int) -> None:
        first_error: BaseException | None = None
        while self._jobs and (self._jobs[0].done() or len(self._jobs) > keep):
            error = self._jobs.popleft().exception()
            if error is not None and first_error is not None:
                log.warning("%s", error)
            first_error = first_error or error
        if first_error is not None:
            raise first_error
