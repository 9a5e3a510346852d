"""Trains a run with the workers of a Ray cluster, and outlives their deaths.

Owns the driver: hold the run, check everything, find room, and make attempts
until the run is finished, stopped, or has failed too often. The driver trains
nothing and opens no GPU. One attempt is one start of the run and one
`TensorflowTrainer.fit()` (`attempt.py`); what a worker does is `ray_worker.py`'s.
"""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

from trainer import checkpoint, storage
from trainer import config as configs
from trainer.config import Config
from trainer.data.order import check_world_size
from trainer.data.shards import checked_manifest
from trainer.errors import ClusterError
from trainer.launch import starting
from trainer.launch.budget import Budget
from trainer.launch.hold import Hold, hold
from trainer.launch.ray_cluster import connected
from trainer.launch.ray_package import mark
from trainer.launch.starting import Options, Outcome
from trainer.run_folder import RunFolder

_POLL_SECS = 1.0
# Ray frees what an ended group had within a moment.
_FREEING_SECS = 10.0
# Both sides compute: another version could give other numbers, or not understand the messages.
_LIBRARIES = ("tensorflow", "keras", "numpy", "ray")
_RESIZE = "there is room for more workers"

log = logging.getLogger("catgan")


def start(config: Config, folder: RunFolder, options: Options) -> Outcome:
    """Trains with several workers until the run is finished or stopped.

    Args:
        config: As it was written, or the run's own.
        folder: The run folder; with several machines one that all of them see.
        options: See `trainer.launch.starting.Options`.

    Raises:
        ClusterError: Another process trains the run, the cluster cannot be reached, has no room, or
            lost its workers too often.
        CatganError: What went wrong in a worker, with its rank and host.
    """
    from trainer.callbacks.stop_requests import StopRequests

    address = options.address or ("auto" if os.environ.get("RAY_ADDRESS") else "local")
    settings = config.cluster
    here = len(os.sched_getaffinity(0))
    cores = max(here, settings.max_workers * settings.cpus_per_worker)
    with hold(folder) as held, connected(address, cpus=cores, package=settings.package) as cluster:
        _silence_ray()
        if cluster.is_own and cores > here:
            log.info("%d workers share the %d cores of this machine", settings.max_workers, here)
        with StopRequests(max_mins=config.training.max_mins, should_stop=held.lost) as stops:
            driver = _Driver(config, folder, options, held, stops, can_grow=not cluster.is_own)
            return driver.train()


class _Driver:
    """One command that trains on a cluster."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        options: Options,
        held: Hold,
        stops: Any,
        *,
        can_grow: bool,
    ) -> None:
        import ray

        self._folder, self._options = folder, options
        self._held, self._stops = held, stops
        self._can_grow = can_grow
        self._resume_command = f"catgan resume {folder.address}"
        self._budget = Budget(config.cluster, self._resume_command)
        self._namespace = ray.get_runtime_context().namespace
        self._name = f"catgan-{secrets.token_hex(8)}"
        self._attempts = 0
        self._restart_secs = 0.0
        self._stood_since = 0.0
        workers = self._await_room(config)
        self._config, self._choices = self._resolved(config, workers)
        self._first_workers = workers

    def train(self) -> Outcome:
        """Makes attempts until one is the last."""
        config = self._config
        check_world_size(
            config.cluster.max_workers, config.dataset.lanes, config.training.global_batch
        )
        starting.prepare_if_missing(config)
        manifest = checked_manifest(storage.open_folder(config.dataset.address))
        starting.refuse_other_size(manifest, config)
        self._identity = starting.identity(config, manifest.fingerprint, self._choices)
        self._coordinator = self._mailbox()
        self._held.take()
        self._stops.training_begins()
        workers = self._first_workers
        while True:
            outcome = self._attempt(workers)
            if outcome is not None:
                return outcome
            workers = self._await_room(config)

    def _attempt(self, workers: int) -> Outcome | None:
        """Trains with one group of workers; None: another one is to follow."""
        import ray

        from trainer.launch.attempt import Attempt

        self._attempts += 1
        number = self._claim(workers)
        ray.get(self._coordinator.begin_attempt.remote(self._attempts))
        attempt = Attempt(
            self._coordinator,
            self._told(),
            self._folder,
            number,
            workers,
            self._config.cluster,
        )
        self._settle(number)
        fate = attempt.wait(self._looking_after(attempt))
        try:
            return self._judged(fate, number)
        finally:
            self._stood_since = fate.moved_at

    def _claim(self, workers: int) -> int:
        first = self._attempts == 1
        overrides = self._options.overrides if first else ()
        number = checkpoint.claim(
            self._folder,
            self._identity,
            host=socket.gethostname(),
            world_size=workers,
            versions=starting.versions(),
            overrides=dict(item.split("=", 1) for item in overrides),
            holder=self._held.holder,
        )
        self._folder.write_config(configs.to_yaml(self._config))
        return number

    def _settle(self, number: int) -> None:
        """Chooses and verifies the checkpoint while the workers start and import."""
        from trainer.launch.coordinator import Begun

        from_step = self._options.from_step if self._attempts == 1 else None
        begun = checkpoint.settle(self._folder, number, from_step=from_step)
        starting.tell_where(begun, self._config)
        self._coordinator.set_begun.remote(Begun(begun.start, begun.first_step))

    def _told(self) -> Any:
        from trainer.launch.ray_worker import Told

        return Told(
            config=configs.to_yaml(self._config),
            coordinator=self._name,
            namespace=self._namespace,
            attempt=self._attempts,
            hang_timeout_secs=self._config.cluster.hang_timeout_secs,
            # A cluster of its own is this very machine.
            mark=mark(*_LIBRARIES) if self._can_grow else None,
            jit=self._choices["jit"],
            restart_secs=self._restart_secs,
            stood_since=self._stood_since,
            callbacks=self._options.callbacks,
            before_publish=self._options.before_publish,
        )

    def _looking_after(self, attempt: Any) -> Callable[[], None]:
        """Returns what is done while workers train: pass wishes on, look for more room."""
        settings = self._config.cluster
        looked_at = time.monotonic()

        def look() -> None:
            nonlocal looked_at
            if cause := self._stops.cause():
                attempt.stop(cause)
            if time.monotonic() - looked_at < settings.resize_every_secs:
                return
            looked_at = time.monotonic()
            more = min(settings.max_workers, attempt.workers + self._free_places())
            if more > attempt.workers:
                log.info(
                    "there is room for %d workers: stopping %d for them", more, attempt.workers
                )
                attempt.stop(_RESIZE)

        return look

    def _judged(self, fate: Any, number: int) -> Outcome | None:
        """Decides what follows from an attempt's end.

        Raises:
            CatganError: Another try would fail in the same way, or has done so too often.
        """
        ended, address = fate.ended, self._folder.address
        if ended is not None and ended.status == "finished":
            return Outcome("finished", ended.step, address, ended.cause, self._resume_command)
        if ended is not None:
            return self._stopped(ended)
        starting.note_end(self._folder, number, "failed", fate.cause)
        self._held.raise_if_lost()
        if fate.failure is not None and fate.failure.own:
            raise fate.failure.error()
        if fate.failure is not None:
            log.debug("%s", fate.failure.trace)
        if self._stops.cause():
            self._stops.raise_if_signalled(fate.furthest_step, self._resume_command)
        log.warning("%s; going on from the newest checkpoint", fate.cause)
        if fate.preempted:
            self._budget.spend_preemption(fate.cause)
        else:
            self._budget.spend_failure(fate.furthest_step, fate.cause)
        return None

    def _stopped(self, ended: Any) -> Outcome | None:
        self._held.raise_if_lost()
        if cause := self._stops.cause():
            self._stops.raise_if_signalled(ended.step, self._resume_command)
            return Outcome("stopped", ended.step, self._folder.address, cause, self._resume_command)
        if ended.cause != _RESIZE:
            log.warning("%s; going on elsewhere", ended.cause)
            self._budget.spend_preemption(ended.cause)
        return None

    def _resolved(self, config: Config, workers: int) -> tuple[Config, dict[str, Any]]:
        """Fixes precision and jit, on a worker's GPU where it takes one to know."""
        record = self._folder.read_record()
        if not config.cluster.gpus_per_worker:
            choices = {"jit": config.jit is True or bool(record and record.choices.get("jit"))}
            return starting.resolve(config, self._folder, "float32"), choices
        from trainer.launch.probe import probe

        recorded = record.choices if record else {}
        precision, jit = probe(config, workers, recorded)
        return starting.resolve(config, self._folder, precision), {"jit": jit}

    def _mailbox(self) -> Any:
        """Starts the coordinator on this node: it is to end with the driver and not before."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from trainer.launch.coordinator import Coordinator

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(num_cpus=0, max_concurrency=32, scheduling_strategy=here)(Coordinator)
        return actor.options(name=self._name, namespace=self._namespace).remote()

    def _free_places(self) -> int:
        from trainer.launch import room

        return room.places(room.nodes(), self._config.cluster, free=True)

    def _await_room(self, config: Config) -> int:
        """Waits until there is room for the fewest workers; returns how many there is room for.

        Raises:
            ClusterError: There is none, and none can be hoped for.
        """
        from trainer.launch import room

        need = config.cluster
        began, told = time.monotonic(), False
        while True:
            nodes = room.nodes()
            free, capacity = (room.places(nodes, need, free=flag) for flag in (True, False))
            waited = time.monotonic() - began
            enough = free >= need.max_workers or (
                free >= need.min_workers and (free >= capacity or waited > _FREEING_SECS)
            )
            if enough:
                return min(free, need.max_workers)
            what = (
                f"{room.asked(need, need.min_workers)} were asked for, and the cluster has "
                f"{room.had(nodes)}: room for {free} now, {capacity} if nothing else ran"
            )
            over = waited > need.start_timeout_secs
            if over or (capacity < need.min_workers and not self._can_grow):
                raise self._no_room(what, capacity, waited if over else 0.0)
            if not told and waited > _FREEING_SECS / 5:
                log.warning("%s; waiting up to %g s for room", what, need.start_timeout_secs)
                told = True
                self._ask_autoscaler(need)
            self._give_way()
            time.sleep(_POLL_SECS)

    def _give_way(self) -> None:
        """Ends the wait for room if the person or another driver wants it."""
        self._held.raise_if_lost()
        if self._stops.cause():
            step = record.step if (record := self._folder.read_record()) else 0
            self._stops.raise_if_signalled(step, self._resume_command)

    def _ask_autoscaler(self, need: Any) -> None:
        """Tells an autoscaler what is waited for; without one, nothing happens."""
        from ray.autoscaler.sdk import request_resources

        bundle: dict[str, float] = {"CPU": need.cpus_per_worker}
        if need.gpus_per_worker:
            bundle["GPU"] = need.gpus_per_worker
        try:
            request_resources(bundles=[bundle] * need.max_workers)
        except Exception as error:
            log.debug("no autoscaler was asked: %s", error)

    def _no_room(self, what: str, capacity: int, waited_secs: float) -> ClusterError:
        fewer = f"cluster.workers={capacity}" if capacity else "cluster.gpus_per_worker=0"
        waited = f", after {waited_secs:.0f} s of waiting" if waited_secs else ""
        return ClusterError(
            what + waited,
            expected="room for the fewest workers of cluster.workers, each on one node",
            remedy=f"ask for what can be had ({fewer}), add nodes, or wait longer "
            "(cluster.start_timeout_secs)",
        )


def _silence_ray() -> None:
    """Keeps Ray from printing what it thinks of dead workers: the driver says it in its own words.

    Its setting `log_to_driver` leaves these out. Where the private place has changed, they
    come again, beside ours.
    """
    import ray._private.worker as private

    if not log.isEnabledFor(logging.DEBUG):
        private.print_to_stdstream = lambda *told, **named: None
