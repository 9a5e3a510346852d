"""Runs the worker function in this process: one GPU or the CPU, no Ray.

Owns the order of a start in one process. Whether one is wanted is decided in
`trainer.launch.door`.
"""

import dataclasses
import logging
import socket
from collections.abc import Callable
from typing import Any

from trainer import config as configs
from trainer.command_line import catgan
from trainer.config import Config
from trainer.errors import NonFiniteError
from trainer.launch import announce, evaluators, rollback, starting
from trainer.launch.hold import Hold, hold
from trainer.launch.starting import Options, Outcome
from trainer.run_folder import NewRun, RunFolder

log = logging.getLogger("catgan")


def start(config: Config, folder: RunFolder, options: Options) -> Outcome:
    """Trains in this process until the run is finished or stopped.

    Args:
        config: As it was written, or the run's own.
        folder: The run folder.
        options: See `trainer.launch.starting.Options`.

    Raises:
        ClusterError: Another process trains the run.
        CatganError: See `trainer.worker.run`.
    """
    with hold(folder) as held:
        return _start(config, folder, options, held)


def _start(config: Config, folder: RunFolder, options: Options, held: Hold) -> Outcome:
    from trainer import quiet

    quiet.import_tensorflow()
    from trainer import device, worker
    from trainer.callbacks.stop_requests import StopRequests
    from trainer.gan.build import resolve_precision

    found = device.set_up(config)
    config = starting.resolve(config, folder, resolve_precision(config.precision))
    starting.refuse_other_pictures(config, is_new=folder.read_record() is None)
    starting.prepare_if_missing(config)
    dataset = starting.open_dataset(config)
    starting.refuse_unmeasurable(config, dataset.manifest)
    choices = starting.choices(config, folder.read_record(), found)
    gpu = {"gpu": found.name} if found.kind == "GPU" else {}
    log.info("run %s on %s, data set %s", folder.address, found.name, dataset.address)

    def train(config: Config, options: Options) -> worker.Result:
        said = starting.identity(config, dataset.fingerprint, choices, folder.read_record())
        begun = _begun(config, folder, options, said, held, starting.versions() | gpu)
        context = worker.Context(
            stops=stops,
            jit=choices["jit"],
            eager=options.eager,
            before_publish=options.before_publish,
            evaluator=evaluators.local(config, folder.address),
        )

        def run() -> worker.Result:
            return worker.run(config, folder, dataset, begun, context, options.callbacks)

        return starting.ending(folder, begun.start, run, config.training.global_batch)

    with StopRequests(max_mins=config.training.max_mins, should_stop=held.lost) as stops:
        held.take()
        result = _going_back(train, config, options, stops)
        command = catgan("resume", folder.address)
        if result.status == "stopped":
            held.raise_if_lost()
            stops.raise_if_signalled(result.step, command)
        return Outcome(result.status, result.step, folder.address, result.cause, command)


def _begun(
    config: Config,
    folder: RunFolder,
    options: Options,
    said: NewRun,
    held: Hold,
    versions: dict[str, str],
) -> Any:
    """Claims a start and chooses what it goes on from."""
    from trainer import checkpoint

    begun = checkpoint.begin(
        folder,
        said,
        from_step=options.from_step,
        host=socket.gethostname(),
        versions=versions,
        overrides=dict(item.split("=", 1) for item in options.overrides),
        holder=held.holder,
    )
    folder.write_config(configs.to_yaml(config))
    announce.tell_where(begun, config)
    return begun


def _going_back(train: Callable[..., Any], config: Config, options: Options, stops: Any) -> Any:
    """Trains, and again from the last good checkpoint where losses were no numbers."""
    while True:
        try:
            return train(config, options)
        except NonFiniteError as error:
            if options.eager or stops.cause():
                raise
            config = rollback.rolled_back(config, error)
            changed = rollback.overrides(config)
            options = dataclasses.replace(options, from_step=None, overrides=changed)
