"""Trains a run with the workers of a Ray cluster, and outlives their deaths.

Owns the driver: hold the run, check everything, find room, and make attempts
until the run is finished, stopped, or has failed too often. The driver trains
nothing and opens no GPU. One attempt is one start of the run and one
`TensorflowTrainer.fit()` (`attempt.py`); what a worker does is `ray_worker.py`'s.
"""

import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

from trainer import checkpoint, storage
from trainer import config as configs
from trainer.command_line import catgan
from trainer.config import Config
from trainer.data import fitting
from trainer.data.shards import checked_manifest
from trainer.errors import CatganError, NonFiniteError
from trainer.launch import announce, mailbox, ray_address, rollback, starting
from trainer.launch.budget import Budget
from trainer.launch.finding_room import await_room, free_places
from trainer.launch.head_watch import HeadWatch
from trainer.launch.hold import Hold, hold
from trainer.launch.ray_cluster import Connection, connected_for
from trainer.launch.ray_package import training_mark
from trainer.launch.stages import Standstill
from trainer.launch.starting import Options, Outcome
from trainer.run_folder import RunFolder

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

    starting.refuse_other_pictures(config, is_new=folder.read_record() is None)
    starting.refuse_too_many_workers(config)
    settings, here = config.cluster, len(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        held = hold(folder)
        # Outermost: a signal at any moment ends this in good order.
        stops = StopRequests(max_mins=config.training.max_mins, should_stop=held.lost)
        stack.enter_context(stops)
        stack.enter_context(held)
        cluster = stack.enter_context(connected_for(settings, ray_address.meant(options.address)))
        if cluster.is_own and settings.max_workers * settings.cpus_per_worker > here:
            log.info("%d workers share the %d cores of this machine", settings.max_workers, here)
        driver = _Driver(config, folder, options, held, stops, cluster)
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
        cluster: Connection,
    ) -> None:
        import ray

        from trainer.launch.probe import resolved

        self._folder, self._options = folder, options
        self._held, self._stops = held, stops
        self._can_grow = not cluster.is_own
        where = ("--address", options.address) if options.address else ()
        self._resume_command = catgan("resume", folder.address, *where)
        self._head = HeadWatch(cluster.address, self._resume_command)
        self._budget = Budget(config.cluster, self._resume_command)
        self._namespace = ray.get_runtime_context().namespace
        self._name = f"catgan-{secrets.token_hex(8)}"
        self._attempts = 0
        self._overrides = options.overrides
        self._standstill = Standstill()
        self._clock_runs = False
        workers = self._await_room(config)
        self._config, self._choices = resolved(config, folder, workers)
        self._first_workers = workers

    def train(self) -> Outcome:
        """Makes attempts until one is the last."""
        config = self._config
        starting.prepare_if_missing(config)
        manifest = checked_manifest(storage.open_folder(config.dataset.address))
        fitting.refuse_misfit(manifest, config.dataset, is_new=False)
        starting.refuse_unmeasurable(config, manifest)
        self._fingerprint = manifest.fingerprint
        self._identity = self._identified()
        self._coordinator = mailbox.start(self._name, self._namespace, self._held.lease_secs)
        self._held.take()
        self._stops.lets_finish()
        workers = self._first_workers
        while True:
            outcome = self._attempt(workers)
            if outcome is not None:
                return outcome
            self._held.must_be_ours()
            workers = self._await_room(config)

    def _identified(self) -> Any:
        record = self._folder.read_record()
        return starting.identity(self._config, self._fingerprint, self._choices, record)

    def _attempt(self, workers: int) -> Outcome | None:
        """Trains with one group of workers; None: another one is to follow."""
        from trainer.launch.attempt import Attempt

        self._attempts += 1
        number = self._claim(workers)
        mailbox.begin_attempt(self._coordinator, self._attempts)
        attempt = Attempt(
            self._coordinator,
            self._told(),
            self._folder,
            number,
            workers,
            self._config.cluster,
        )
        first_step = self._settle(number)
        fate = attempt.wait(self._looking_after(attempt, number, first_step))
        try:
            return self._judged(fate, number, resized=attempt.resized)
        finally:
            self._standstill.begins(fate.moved_at, fate.noticed_at)

    def _claim(self, workers: int) -> int:
        overrides, self._overrides = self._overrides, ()
        number = checkpoint.claim(
            self._folder,
            self._identity,
            host=socket.gethostname(),
            world_size=workers,
            versions=starting.versions(),
            overrides=dict(item.split("=", 1) for item in overrides),
            holder=self._held.holder,
        )
        return number

    def _settle(self, number: int) -> int:
        """Chooses and verifies the checkpoint while the workers start and import."""
        from trainer.launch.coordinator import Beginning

        from_step = self._options.from_step if self._attempts == 1 else None
        begun = checkpoint.settle(self._folder, number, from_step=from_step)
        # Not before: a step that is not there leaves the run as it was.
        self._folder.write_config(configs.to_yaml(self._config))
        announce.tell_where(begun, self._config)
        self._coordinator.set_beginning.remote(Beginning(begun.start, begun.first_step))
        return begun.first_step

    def _told(self) -> Any:
        from trainer.launch.ray_worker import Told

        return Told(
            config=configs.to_yaml(self._config),
            coordinator=self._name,
            namespace=self._namespace,
            attempt=self._attempts,
            # A cluster of its own is this very machine.
            mark=training_mark() if self._can_grow else None,
            jit=self._choices["jit"],
            restart_secs=self._standstill.lost_secs,
            stood_since=self._standstill.since,
            noticed_at=self._standstill.noticed_at,
            callbacks=self._options.callbacks,
            before_publish=self._options.before_publish,
        )

    def _looking_after(self, attempt: Any, number: int, first_step: int) -> Callable[[], None]:
        """Returns what is done while workers train: pass wishes on, look for more room."""
        settings = self._config.cluster
        looked_at, trains = time.monotonic(), False

        def look() -> None:
            nonlocal looked_at, trains
            self._head.must_answer()
            if attempt.furthest_step > first_step and not trains:
                trains = True
                self._training_goes_on()
            if cause := self._stops.cause():
                attempt.stop(cause)
                if not trains:
                    self._leave(number, first_step, cause)
            if time.monotonic() - looked_at < settings.resize_every_secs:
                return
            looked_at = time.monotonic()
            more = min(settings.max_workers, attempt.workers + free_places(settings))
            if more > attempt.workers and trains:
                attempt.make_room_for(more)

        return look

    def _training_goes_on(self) -> None:
        if not self._clock_runs:
            self._clock_runs = True
            self._stops.training_begins()
        self._standstill.ends()

    def _leave(self, number: int, step: int, cause: str) -> None:
        """Ends the command where workers have done nothing yet that could be saved.

        They end with the connection. Returns where nobody is in a hurry.
        """
        self._held.raise_if_lost()
        try:
            self._stops.raise_if_signalled(step, self._resume_command)
        except CatganError:
            starting.note_end(self._folder, number, "stopped", cause)
            raise

    def _judged(self, fate: Any, number: int, *, resized: bool) -> Outcome | None:
        """Decides what follows from an attempt's end.

        Raises:
            CatganError: Another try would fail in the same way, or has done so too often.
        """
        ended, address = fate.ended, self._folder.address
        if ended is not None and ended.status == "finished":
            return Outcome("finished", ended.step, address, ended.cause, self._resume_command)
        if ended is not None:
            return self._stopped(ended, resized=resized)
        starting.note_end(self._folder, number, "failed", fate.cause)
        self._held.raise_if_lost()
        if fate.failure is not None and fate.failure.own:
            self._go_back(fate.failure.error())
            return None
        if fate.failure is not None:
            log.debug("%s", fate.failure.trace)
        if self._stops.cause():
            step = max(0, fate.furthest_step)
            self._stops.raise_if_signalled(step, self._resume_command, instead=fate.cause)
        if fate.preempted:
            self._budget.spend_preemption(fate.cause)
        elif not (fate.lost_port and self._budget.forgives_lost_port()):
            self._budget.spend_failure(
                fate.furthest_step, fate.cause, unseen_steps=fate.unseen_steps
            )
        log.warning("%s; going on from the newest checkpoint", fate.cause)
        return None

    def _go_back(self, error: CatganError) -> None:
        """Prepares another attempt after losses that were no numbers; raises any other error."""
        if not isinstance(error, NonFiniteError) or self._stops.cause():
            raise error
        self._config = rollback.rolled_back(self._config, error)
        self._overrides = rollback.overrides(self._config)
        self._identity = self._identified()

    def _stopped(self, ended: Any, *, resized: bool) -> Outcome | None:
        self._held.raise_if_lost()
        if cause := self._stops.cause():
            self._stops.raise_if_signalled(ended.step, self._resume_command)
            return Outcome("stopped", ended.step, self._folder.address, cause, self._resume_command)
        if not resized:
            log.warning("stopped after step %s: %s; going on", f"{ended.step:,}", ended.cause)
            self._budget.spend_preemption(ended.cause)
        return None

    def _await_room(self, config: Config) -> int:
        return await_room(config.cluster, can_grow=self._can_grow, each_poll=self._give_way)

    def _give_way(self) -> None:
        """Ends the wait for room if the person or another driver wants it."""
        self._head.must_answer()
        self._held.raise_if_lost()
        if self._stops.cause():
            # Progress that was noted may be ahead of what is saved.
            newest = checkpoint.find_newest(self._folder, prefixes=())
            step = newest.step if newest else 0
            self._stops.raise_if_signalled(step, self._resume_command)
