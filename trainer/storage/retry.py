"""Trying again, with a bound.

Owns the one retry policy of buckets: which pauses, until when, and what is said
about it. The client library's own retries are turned off everywhere else.
Tenacity drives it: it has jitter, and bounds that can be functions.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import tenacity
from google.api_core import retry as api_retry

from trainer.errors import CatganError, StorageError
from trainer.storage import faults
from trainer.storage.client import emulator
from trainer.storage.folder import DiskFault
from trainer.storage.limits import PROGRESS_BYTES, Limits, current

T = TypeVar("T")
log = logging.getLogger("catgan.storage")
_QUIET_SECS = 60.0

_said_lock = threading.Lock()
_said_at: dict[tuple[str, str], float] = {}


@dataclass
class Budget:
    """What one call has left, and how it went so far.

    The deadline counts from the last progress, so a large transfer that moves
    may take its time, one that stands or only drips may not.

    Attributes:
        failures: Tries that failed until now; after one, a conditional write may
            have been applied although nothing came back.
    """

    limits: Limits = field(default_factory=current)
    failures: int = 0
    _furthest_bytes: int = 0
    _until: float = 0.0

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.limits.deadline_secs

    def reached(self, position_bytes: int) -> None:
        """Note how far the transfer is; being as far again as before is no progress.

        Raises:
            TimeoutError: The time is over.
        """
        if position_bytes >= self._furthest_bytes + PROGRESS_BYTES:
            self._furthest_bytes = position_bytes
            self._until = time.monotonic() + self.limits.deadline_secs
        elif self.left_secs() <= 0:
            raise TimeoutError("the transfer is too slow")

    def left_secs(self) -> float:
        """Seconds until the call gives up; may be negative."""
        return self._until - time.monotonic()

    @property
    def timeout(self) -> tuple[float, float]:
        """Seconds for (connecting, the next byte) of one request."""
        left = max(0.05, self.left_secs())
        return min(self.limits.connect_secs, left), min(self.limits.timeout_secs, left)


def call(
    verb: str, address: str, attempt: Callable[[Budget], T], *, budget: Budget | None = None
) -> T:
    """Run `attempt` until it succeeds, fails for good, or the deadline is over.

    Args:
        verb: What is being done, for messages: "read", "write".
        address: To what.
        attempt: One try, best of one request. Its own `CatganError`s are final.
        budget: Of the call that this one is a part of.

    Raises:
        StorageError: The deadline is over, or the fault is not one that passes.
        DiskFault: The attempt's; also final.
    """
    budget = budget or Budget()

    def note(state: tenacity.RetryCallState) -> None:
        budget.failures += 1
        _say_slow(verb, address, _error_of(state), budget)

    def is_over(state: tenacity.RetryCallState) -> bool:
        return budget.left_secs() <= state.upcoming_sleep

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(faults.passes),
        wait=tenacity.wait_random_exponential(
            multiplier=budget.limits.pause_secs, max=budget.limits.max_pause_secs
        ),
        stop=is_over,
        before_sleep=note,
    )
    try:
        return retrying(attempt, budget)
    except tenacity.RetryError as error:
        raise _gave_up(verb, address, error.last_attempt.exception(), budget) from error
    except (CatganError, DiskFault):
        raise
    except Exception as error:
        raise faults.explain(error, verb, address) from error


def of_each_chunk(address: str, budget: Budget) -> api_retry.Retry:
    """The same policy in the form that the client wants for the chunks of one upload.

    A chunk is sent again within the upload's session, so a long upload does not
    begin anew after each fault.
    """

    def note(error: Exception) -> None:
        budget.failures += 1
        _say_slow("write", address, error, budget)

    return api_retry.Retry(
        predicate=faults.passes_in_session,
        initial=budget.limits.pause_secs,
        maximum=budget.limits.max_pause_secs,
        multiplier=2.0,
        timeout=max(0.05, budget.left_secs()),
        on_error=note,
    )


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _say_slow(verb: str, address: str, error: BaseException | None, budget: Budget) -> None:
    """Say once a minute for each bucket that it is being waited for."""
    bucket = "/".join(address.split("/")[:3])
    store = (emulator(), bucket)
    if not _said_lock.acquire(blocking=False):
        return  # another thread is saying it
    try:
        now = time.monotonic()
        if now - _said_at.get(store, -_QUIET_SECS) < _QUIET_SECS:
            return
        _said_at[store] = now
    finally:
        _said_lock.release()
    log.warning(
        "%s is slow or failing (%s while trying to %s %s); trying again for up to %.0f s",
        bucket,
        faults.in_one_line(error) if error else "a fault",
        verb,
        address,
        max(0.0, budget.left_secs()),
    )


def _gave_up(verb: str, address: str, last: BaseException | None, budget: Budget) -> StorageError:
    deadline = f"{budget.limits.deadline_secs:g} s"
    return StorageError(
        f"gave up trying to {verb} {address}: no progress within the deadline of {deadline}, in "
        f"{budget.failures + 1} tries; the last fault: "
        f"{faults.in_one_line(last) if last else 'unknown'}",
        expected=f"an answer within {deadline}",
        remedy=(
            "check the network and https://status.cloud.google.com, then run the same command "
            "again; CATGAN_STORAGE_DEADLINE_SECS sets a longer deadline"
        ),
    )
