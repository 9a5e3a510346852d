"""One attempt: one group of workers, from their start until none is left.

Owns one `TensorflowTrainer.fit()`; what became of it is `fate.py`'s to tell. Ray restarts
nothing by itself: whether another attempt is made, and with how many workers, is decided
in `on_ray.py`, between attempts, where a run's state is read from its folder.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig

from trainer.config.cluster import ClusterSettings
from trainer.errors import CatganError
from trainer.launch.coordinator import Ended, Line, News
from trainer.launch.fate import AttemptFate, Progress, fate_of
from trainer.launch.ray_backend import HeldPorts, tensorflow_trainer
from trainer.launch.ray_storage import ray_storage
from trainer.launch.ray_worker import Told, work
from trainer.run_folder import RunFolder
from trainer.run_folder.names import start_name

_POLL_SECS = 0.3
_LAST_WORDS_SECS = 6.0
# Unless the person has set them. By itself Ray looks for dead workers every 2 s, and for
# nodes that are taken back every 5 s, a third of the notice that spot machines give. How soon
# a dead node is noticed is the head's to say, where `ray start` made it: at once if its
# connections break; else after RAY_health_check_failure_threshold (5) checks, one every
# RAY_health_check_period_ms (3000), each given RAY_health_check_timeout_ms (10000).
_RAY_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
}
log = logging.getLogger("catgan")


class Attempt:
    """Runs the workers in the background until `wait` has seen their end.

    Args:
        coordinator: Handle of the actor.
        told: What every worker is told.
        folder: The run folder.
        start: Number of the start; names Ray's folder.
        workers: How many.
        settings: The config's `cluster` section.

    Attributes:
        workers: How many.
        resized: It was stopped because there is room for more.
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
        self.resized = False
        self._coordinator = coordinator
        self._told, self._folder, self._start = told, folder, start
        self._settings = settings
        self._error: BaseException | None = None
        self._news = News()
        self._progress = Progress(at=time.time())
        self._noticed_at = 0.0
        self._thread = threading.Thread(target=self._fit, name="ray-train", daemon=True)
        self._thread.start()

    def wait(self, each_poll: Callable[[], None]) -> AttemptFate:
        """Passes the workers' log lines on until they have ended.

        Args:
            each_poll: Called a few times a second.
        """
        while self._thread.is_alive():
            self._thread.join(_POLL_SECS)
            self._take_news()
            each_poll()
        self._take_news()
        if isinstance(self._error, ray.exceptions.RayActorError):
            self._hear_last_words()
        return self._fate()

    @property
    def furthest_step(self) -> int:
        """The last step that is known to be finished, -1 for none."""
        return self._news.furthest_step

    def make_room_for(self, workers: int) -> None:
        """Asks the workers to stop, because there is room for more of them."""
        log.info("there is room for %d workers: stopping %d for them", workers, self.workers)
        self.resized = True
        self.stop(f"there is room for {workers} workers")

    def stop(self, cause: str) -> None:
        """Asks the workers to publish a checkpoint and return."""
        self._coordinator.ask_to_stop.remote(cause)

    def _fit(self) -> None:
        try:
            with _set_where_unset(_variables(self._settings)):
                self._trainer().fit()
        except BaseException as error:
            self._error = error

    def _trainer(self) -> Any:
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
        try:
            self._news = ray.get(self._coordinator.news.remote(), timeout=20)
        except ray.exceptions.RayError:
            return  # slow, or dead: these workers go on; other ones would need it
        for beat in self._news.beats.values():
            self._progress = self._progress.seen(beat.step, time.time() - beat.stood_secs)
        for line in self._news.lines:
            _pass_on(line)
        if self._news.failures or not self._thread.is_alive():
            self._noticed_at = self._noticed_at or time.time()

    def _hear_last_words(self) -> None:
        """Waits for workers whose controller died: Ray kills them some seconds later."""
        until = time.monotonic() + _LAST_WORDS_SECS
        while time.monotonic() < until and not self._news.ended:
            time.sleep(_POLL_SECS)
            self._take_news()
            self._news.ended = self._news.ended or self._noted_end()

    def _fate(self) -> AttemptFate:
        self._news.ended = self._news.ended or self._noted_end()
        return fate_of(self._error, self._news, self.workers, self._progress, self._noticed_at)

    def _noted_end(self) -> Ended | None:
        """What rank 0 wrote into the run's record, should the mailbox have missed it."""
        with contextlib.suppress(CatganError):
            record = self._folder.read_record()
            if record is None or record.status not in ("finished", "stopped"):
                return None
            own = record.starts[-1]
            if own.number == self._start and own.ended:
                return Ended(record.status, record.step, own.cause or "")
        return None


def _variables(settings: ClusterSettings) -> dict[str, str]:
    """What Ray Train reads when it starts a group of workers, and hands on to them."""
    return {
        **_RAY_SETTINGS,
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(settings.start_timeout_secs),
        # Of a process that is frozen as a whole; stuck threads are our own watchdog's.
        "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(settings.hang_timeout_secs),
    }


@contextlib.contextmanager
def _set_where_unset(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for the block: the next run of this process has its own.

    What the person has set stands, and stays.
    """
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _pass_on(line: Line) -> None:
    text = line.text if line.rank == 0 else f"rank {line.rank} on {line.host}: {line.text}"
    log.log(line.level, "%s", text)
