"""What became of an attempt, from what Ray and the workers say of it.

Owns telling causes from their consequences: when one worker of a group is gone, all the
others fail as well, in the words of TensorFlow or Ray. Pure. Running an attempt is
`attempt.py`'s; what follows from its fate is `on_ray.py`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import ray

from trainer.launch.coordinator import Beat, Ended, Failure, News

# Raised in the others when one worker of a group is gone.
_COLLATERAL = (
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "UnavailableError",
    "UnknownError",
    "Waiting",
)
# Ray's names for what goes wrong before there is any worker that could tell.
_STARTS = {
    "WorkerGroupStartupTimeoutError": "its workers were not there within "
    "cluster.start_timeout_secs",
    "WorkerGroupStartupFailedError": "a worker died while it was being started",
}
_CAUSE, _BUG, _CONSEQUENCE = range(3)
# A living worker checks in about once a second.
_SILENT_SECS = 3.0
# The last second of a worker that died is never seen.
_UNSEEN_SECS = 2.0


@dataclass(frozen=True)
class AttemptFate:
    """What became of an attempt.

    Attributes:
        ended: How rank 0 ended, if it came to an end by itself.
        failure: The error behind it all, if a worker could tell one.
        cause: Why it ended, in one line.
        preempted: A node was taken back.
        lost_port: A worker could not have its port; the attempt has trained nothing.
        furthest_step: The last step that is known to be finished, -1 for none.
        unseen_steps: So many more may have been finished since, unseen.
        moved_at: When a step was last known to be finished, seconds since the epoch.
        noticed_at: When the first sign of the end was there.
    """

    ended: Ended | None
    failure: Failure | None
    cause: str
    preempted: bool
    lost_port: bool
    furthest_step: int
    unseen_steps: int
    moved_at: float
    noticed_at: float


@dataclass(frozen=True)
class Progress:
    """How far an attempt was seen to come.

    Attributes:
        first_step: The first that was seen to be finished, -1 for none.
        first_at: When, seconds since the epoch.
        step: The last one.
        at: When.
    """

    first_step: int = -1
    first_at: float = 0.0
    step: int = -1
    at: float = 0.0

    def seen(self, step: int, at: float) -> "Progress":
        """Returns this with one more observation."""
        if step <= self.step:
            return self
        if self.first_step < 0:
            return Progress(step, at, step, at)
        return Progress(self.first_step, self.first_at, step, at)

    @property
    def unseen_steps(self) -> int:
        """Steps that may be done before they are seen, at the pace so far."""
        secs = self.at - self.first_at
        if self.first_step < 0 or secs <= 0:
            return 0
        return int(_UNSEEN_SECS * (self.step - self.first_step) / secs) + 1


def fate_of(
    error: BaseException | None, news: News, size: int, progress: Progress, noticed_at: float
) -> AttemptFate:
    """Judges an attempt.

    Args:
        error: What Ray raised, if it did.
        news: All that the workers told.
        size: How many there were.
        progress: How far they were seen to come.
        noticed_at: When the first sign of the end was there.
    """
    failures = _worker_failures(error)
    deaths = _deaths(failures, news.beats)
    told = sorted(news.failures, key=_blame)
    failure = told[0] if told else None
    if failure is not None and _blame(failure) < _CONSEQUENCE:
        cause = f"{failure.where}: {failure.what}"
    else:
        cause = "; ".join(deaths) or _silence(news, size) or _last_word(failure, error)
    return AttemptFate(
        news.ended,
        failure,
        cause,
        _preempted(error, failures),
        any(item.kind == "LostPort" for item in news.failures),
        progress.step,
        progress.unseen_steps,
        progress.at,
        noticed_at,
    )


def _blame(failure: Failure) -> int:
    """Orders errors: causes first, what they did to the other workers last."""
    if failure.own or failure.kind == "LostPort":
        return _CAUSE
    return _CONSEQUENCE if failure.kind in _COLLATERAL else _BUG


def _worker_failures(error: BaseException | None) -> dict[int, BaseException]:
    """What Ray knows of each worker; the death of one comes wrapped in that of its poll."""
    found = getattr(error, "worker_failures", None) or {}
    return {rank: getattr(item, "health_check_failure", item) for rank, item in found.items()}


def _deaths(failures: Mapping[int, BaseException], beats: Mapping[int, Beat]) -> list[str]:
    """Says of each worker that died without a word what is known of it."""
    return [
        f"{_where(rank, beats)} {_death(failure)}"
        for rank, failure in sorted(failures.items())
        if isinstance(failure, ray.exceptions.RayError) or "HealthCheck" in type(failure).__name__
    ]


def _where(rank: int, beats: Mapping[int, Beat]) -> str:
    return f"rank {rank} on {beats[rank].host}" if rank in beats else f"rank {rank}"


def _death(failure: BaseException) -> str:
    text = str(failure)
    if isinstance(failure, ray.exceptions.OutOfMemoryError):
        return "was killed because its machine ran out of memory"
    if getattr(failure, "preempted", False):
        return "died with its machine, which was taken back"
    if "node has died" in text or "node was terminated" in text or "node died" in text.lower():
        return "died with its machine"
    if "HealthCheckTimeout" in type(failure).__name__:
        return "does not answer any more"
    return "died: it was killed, or crashed in native code"


def _silence(news: News, size: int) -> str:
    """Names those who told nothing while the others told of a loss."""
    told = {failure.rank for failure in news.failures}
    quiet = [
        rank
        for rank in range(size)
        if rank not in told and news.silent_secs.get(rank, 0.0) > _SILENT_SECS
    ]
    if quiet and len(quiet) < size:
        return "; ".join(
            f"{_where(rank, news.beats)} did not answer any more: it is frozen, or its machine "
            "cannot be reached"
            for rank in quiet
        )
    others = set(range(size)) - told
    if len(others) == 1 and told:
        return f"{_where(others.pop(), news.beats)} was lost"
    return ""


def _last_word(failure: Failure | None, error: BaseException | None) -> str:
    if failure is not None:
        return f"{failure.where}: {failure.what}"
    if error is None:
        return "its workers returned"
    if isinstance(error, ray.exceptions.RayActorError):
        return "Ray's own control of the workers died: it was killed, or lost its machine"
    error = getattr(error, "controller_failure", error)
    if (words := _STARTS.get(type(error).__name__)) is not None:
        return words
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _preempted(error: BaseException | None, failures: Mapping[int, BaseException]) -> bool:
    return "Preemption" in type(error).__name__ or any(
        getattr(failure, "preempted", False) for failure in failures.values()
    )
