"""One attempt: one group of workers, from their start until none is left.

Owns one `TensorflowTrainer.fit()` and what became of it. Ray restarts nothing by
itself: whether another attempt is made, and with how many workers, is decided in
`on_ray.py`, between attempts, where a run's state is read from its folder.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig

from trainer.config.settings import ClusterSettings
from trainer.launch.coordinator import Beat, Ended, Failure, Line, News
from trainer.launch.ray_backend import HeldPorts, tensorflow_trainer
from trainer.launch.ray_storage import ray_storage
from trainer.launch.ray_worker import Told, work
from trainer.run_folder import RunFolder
from trainer.run_folder.names import start_name

_POLL_SECS = 0.3
# Ray's own limits, unless the person has set them; it looks for dead workers every 2 s by itself.
_RAY_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
}
# Raised in the others when one worker of a group is gone.
_COLLATERAL = (
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "UnavailableError",
    "UnknownError",
)

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Fate:
    """What became of an attempt.

    Attributes:
        ended: How rank 0 ended, if it came to an end by itself.
        failure: The error behind it all, if a worker could tell one.
        cause: Why it ended, in one line.
        preempted: A node was taken back.
        furthest_step: The last step that is known to be finished, -1 for none.
        moved_at: When a step was last seen to be finished, seconds since the epoch.
    """

    ended: Ended | None
    failure: Failure | None
    cause: str
    preempted: bool
    furthest_step: int
    moved_at: float


class Attempt:
    """Runs the workers in the background until `wait` has seen their end.

    Args:
        coordinator: Handle of the actor.
        told: What every worker is told.
        folder: The run folder.
        start: Number of the start; names Ray's folder.
        workers: How many.
        settings: The config's `cluster` section.
    """

    def __init__(
        self,
        coordinator: Any,
        told: Told,
        folder: RunFolder,
        start: int,
        workers: int,
        settings: ClusterSettings,
    ) -> None:
        self.workers = workers
        self._coordinator = coordinator
        self._told, self._folder, self._start = told, folder, start
        self._settings = settings
        self._error: BaseException | None = None
        self._news = News()
        self._moved_at = time.time()
        self._thread = threading.Thread(target=self._fit, name="ray-train", daemon=True)
        self._thread.start()

    def wait(self, each_poll: Callable[[], None]) -> Fate:
        """Passes the workers' log lines on until they have ended.

        Args:
            each_poll: Called a few times a second.
        """
        while self._thread.is_alive():
            self._thread.join(_POLL_SECS)
            self._take_news()
            each_poll()
        self._take_news()
        return self._fate()

    def stop(self, cause: str) -> None:
        """Asks the workers to publish a checkpoint and return."""
        self._coordinator.ask_to_stop.remote(cause)

    def _fit(self) -> None:
        try:
            self._trainer().fit()
        except BaseException as error:
            self._error = error

    def _trainer(self) -> Any:
        for name, value in _RAY_SETTINGS.items():
            os.environ.setdefault(name, value)
        timeout = str(self._settings.start_timeout_secs)
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", timeout)
        told, settings = self._told, self._settings
        path, filesystem = ray_storage(self._folder.address)
        resources = {"CPU": float(settings.cpus_per_worker)}
        if settings.gpus_per_worker:
            resources["GPU"] = float(settings.gpus_per_worker)
        return tensorflow_trainer()(
            lambda: work(told),
            tensorflow_config=HeldPorts(settings.cpus_per_worker),
            scaling_config=ScalingConfig(
                num_workers=self.workers,
                use_gpu=bool(settings.gpus_per_worker),
                resources_per_worker=resources,
                accelerator_type=settings.accelerator_type or None,
            ),
            run_config=RunConfig(
                name=start_name(self._start),
                storage_path=path,
                storage_filesystem=filesystem,
                # Between attempts we decide ourselves: see the module's docstring.
                failure_config=FailureConfig(
                    max_failures=0, controller_failure_limit=0, max_preemption_failures=0
                ),
            ),
        )

    def _take_news(self) -> None:
        before = self._news.furthest_step
        try:
            self._news = ray.get(self._coordinator.news.remote(), timeout=20)
        except ray.exceptions.GetTimeoutError:
            return
        if self._news.furthest_step > before:
            self._moved_at = time.time()
        for line in self._news.lines:
            _pass_on(line)

    def _fate(self) -> Fate:
        dead = _deaths(self._error, self._news.beats)
        told = sorted(self._news.failures, key=_blame)
        failure = told[0] if told else None
        if failure is not None and (_blame(failure) < 2 or not dead):
            cause = f"{failure.where}: {failure.what}"
        elif dead:
            cause = "; ".join(dead.values())
        else:
            cause = _in_a_line(self._error) if self._error else "its workers returned"
        return Fate(
            self._news.ended,
            failure,
            cause,
            _preempted(self._error),
            self._news.furthest_step,
            self._moved_at,
        )


def _pass_on(line: Line) -> None:
    text = line.text if line.rank == 0 else f"rank {line.rank} on {line.host}: {line.text}"
    log.log(line.level, "%s", text)


def _blame(failure: Failure) -> int:
    """Orders errors: causes first, what they did to the other workers last."""
    if failure.own:
        return 0
    if failure.kind in _COLLATERAL or "waiting for another worker" in failure.what:
        return 2
    return 1


def _worker_failures(error: BaseException | None) -> dict[int, BaseException]:
    return dict(getattr(error, "worker_failures", {}) or {})


def _deaths(error: BaseException | None, beats: dict[int, Beat]) -> dict[int, str]:
    """Says of each worker that died without a word what is known of it."""
    found = {}
    for rank, failure in _worker_failures(error).items():
        if isinstance(failure, ray.exceptions.RayActorError) or "HealthCheck" in str(type(failure)):
            where = f"rank {rank} on {beats[rank].host}" if rank in beats else f"rank {rank}"
            found[rank] = f"{where} {_death(failure)}"
    return found


def _death(failure: BaseException) -> str:
    if isinstance(failure, ray.exceptions.OutOfMemoryError):
        return "was killed because its machine ran out of memory"
    if "node has died" in str(failure) or "node was terminated" in str(failure):
        return "died with its node"
    return "died: it was killed, or crashed in native code"


def _preempted(error: BaseException | None) -> bool:
    failures = _worker_failures(error).values()
    return "Preemption" in type(error).__name__ or any(
        getattr(failure, "preempted", False) for failure in failures
    )


def _in_a_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
