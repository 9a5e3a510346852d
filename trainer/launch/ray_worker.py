"""The train function of one Ray worker: from what the driver told to `trainer.worker.run`.

Owns how a worker of a cluster comes by its context, and how it ends: a function
that returns means "finished" to Ray, so what became of the run is written into
run.json and told to the driver, never left to Ray.
"""

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import ray
import ray.train

from trainer import config as configs
from trainer.config import Config
from trainer.launch import ray_backend, termination
from trainer.launch.check_in import CheckIn
from trainer.launch.coordinator import Beginning, Ended
from trainer.launch.ray_package import Mark, must_match
from trainer.launch.ray_preemption import draining_ranks
from trainer.launch.stages import Stages

_POLL_SECS = 0.2


@dataclass(frozen=True)
class Told:
    """What the driver tells every worker of an attempt. Travels pickled.

    Attributes:
        config: The resolved config as YAML.
        coordinator: Name of the actor.
        namespace: Of that name.
        attempt: Number of this attempt.
        mark: What package and libraries must be equal; None: there is one machine only.
        jit: Compile the step with XLA.
        restart_secs: Time that restarts before this one have cost.
        stood_since: When training stopped before this restart, seconds since the epoch; 0 for
            a first attempt.
        noticed_at: When the driver noticed that.
        callbacks: `gan -> more callbacks`.
        before_publish: See `trainer.worker.Context`.
    """

    config: str
    coordinator: str
    namespace: str
    attempt: int
    mark: Mark | None
    jit: bool
    restart_secs: float
    stood_since: float
    noticed_at: float
    callbacks: Callable[[Any], list]
    before_publish: Callable[[int], None]


class LostPort(RuntimeError):
    """TensorFlow could not listen on the port that was held for it."""


class StoppedByError(RuntimeError):
    """Tells Ray that this worker failed; the driver knows the cause already."""


def work(told: Told) -> None:
    """Trains as one of several workers.

    Raises:
        StoppedByError: Something went wrong; what, was told to the coordinator.
    """
    rank = ray.train.get_context().get_world_rank()
    stages = Stages(told.stood_since, told.noticed_at)
    config = configs.from_text(told.config)
    coordinator = ray.get_actor(told.coordinator, namespace=told.namespace)
    line = CheckIn(
        coordinator,
        told.attempt,
        rank,
        hang_timeout_secs=config.cluster.hang_timeout_secs,
        start_timeout_secs=config.cluster.start_timeout_secs,
    )
    _set_up_log()
    failed = False
    with line:
        try:
            result = _trained(told, config, coordinator, line, stages)
        except BaseException as error:
            line.fail(error)
            failed = True
        else:
            if rank == 0:
                ended = Ended(result.status, result.step, result.cause)
                ray.get(coordinator.end.remote(told.attempt, ended))
    if failed:
        # Not from the error: its frames hold the model, and Ray would print all of it.
        raise StoppedByError(f"rank {rank} on {socket.gethostname()} failed")


def _reason_to_stop(line: CheckIn) -> str:
    """The driver's wish, another worker's, or what this one itself has heard of its machine."""
    if not line.cause():
        if ranks := sorted(draining_ranks()):
            named = ", ".join(str(rank) for rank in ranks)
            line.wish(f"the node of rank {named} is being taken back")
        elif termination.heard():
            line.wish(f"rank {line.rank} on {line.host} was told to terminate")
    return line.cause()


def _set_up_log() -> None:
    log = logging.getLogger("catgan")
    log.setLevel(logging.INFO)
    log.propagate = False


def _trained(told: Told, config: Config, coordinator: Any, line: CheckIn, stages: Stages) -> Any:
    from trainer import quiet

    quiet.import_tensorflow()
    if told.mark is not None:
        must_match(told.mark)
    from trainer import device, storage, worker
    from trainer.launch import announce, starting
    from trainer.launch.pointer_reports import PointerReports
    from trainer.run_folder import RunFolder

    stages.mark("to import")
    size = ray.train.get_context().get_world_size()
    device.set_up(config)
    distribution = _joined(config, size)
    stages.mark("to meet")
    beginning = _beginning(coordinator, told)
    folder = RunFolder(storage.open_folder(config.run))
    dataset = starting.open_dataset(config)
    started = _opened(folder, beginning)
    reports = PointerReports(folder, writes=distribution.rank == 0)
    if distribution.rank == 0:
        announce.tell_shape(config, dataset, size)
    with _stops(line) as stops:
        context = _context(told, config, line, distribution, stops, reports)
        extra = _extra_callbacks(told, coordinator, line, stages, reports)

        def train() -> Any:
            result = worker.run(config, folder, dataset, started, context, extra)
            if result.status == "finished":
                return result
            # The reason may be another worker's, which this one stopped with but was not told.
            return replace(result, cause=line.latest_cause() or result.cause)

        if distribution.rank > 0:
            result = train()
        else:
            result = starting.ending(folder, beginning.start, train, config.training.global_batch)
    reports.report_last()
    return result


def _context(
    told: Told, config: Config, line: CheckIn, distribution: Any, stops: Any, reports: Any
) -> Any:
    """What the worker function is told; see `trainer.worker.Context`."""
    from trainer import worker
    from trainer.launch import evaluators

    return worker.Context(
        distribution=distribution,
        stops=stops,
        jit=told.jit,
        before_publish=told.before_publish,
        published=reports.published,
        row_extras=_Extras(told, line),
        evaluator=evaluators.on_ray(config, config.run),
        going=draining_ranks,
        ends=line.ends,
    )


def _extra_callbacks(
    told: Told, coordinator: Any, line: CheckIn, stages: Stages, reports: Any
) -> Callable[[Any], list]:
    """Makes the callbacks that a worker of a cluster has beside those of any run."""
    from trainer.callbacks.stragglers import Stragglers
    from trainer.launch import announce
    from trainer.launch.moved import Moved

    def extra(gan: Any) -> list:
        stages.mark("to build and restore")
        more = told.callbacks(gan)
        if gan.distribution.rank == 0:
            announce.tell_traffic(gan, gan.distribution.world_size)
            more.append(Stragglers(lambda: ray.get(coordinator.hosts.remote())))
        # First: the line is to know of the last step before others wait for what they began.
        return [Moved(line, stages), reports, *more]

    return extra


def _joined(config: Config, size: int) -> Any:
    """Makes the strategy, which takes all workers.

    Raises:
        LostPort: Somebody else listens on this worker's port.
    """
    from trainer.distribution import several_workers

    try:
        distribution = several_workers(size, on_gpu=bool(config.cluster.gpus_per_worker))
    except Exception as error:
        if ray_backend.lost_its_port(error):
            raise LostPort("somebody else listens on the port of this worker") from error
        raise
    ray_backend.release_port()
    termination.listen_again()
    return distribution


def _beginning(coordinator: Any, told: Told) -> Beginning:
    """Waits until the driver has chosen the checkpoint; it verifies it while workers start."""
    while True:
        beginning = ray.get(coordinator.beginning.remote(told.attempt))
        if beginning is not None:
            return beginning
        time.sleep(_POLL_SECS)


def _opened(folder: Any, beginning: Beginning) -> Any:
    from trainer import checkpoint

    start, step = beginning.start, beginning.first_step
    return checkpoint.Begun(start, checkpoint.open_step(folder, step) if step else None)


@contextlib.contextmanager
def _stops(line: CheckIn) -> Iterator[Any]:
    from trainer.callbacks.stop_requests import StopRequests

    # Signals belong to Ray here, and this is not the main thread.
    with StopRequests(should_stop=lambda: _reason_to_stop(line), catch_signals=False) as stops:
        yield stops


class _Extras:
    """Figures of a cluster run for each row of metrics."""

    def __init__(self, told: Told, line: CheckIn) -> None:
        self._told, self._line = told, line

    def __call__(self) -> dict[str, float]:
        own = (self._line.trained_at or time.time()) - self._told.stood_since
        lost = self._told.restart_secs + (max(0.0, own) if self._told.stood_since else 0.0)
        return {"restart_secs": round(lost, 1)}
