"""Runs the worker function in this process: one GPU or the CPU, no Ray.

Owns what a run folder's state means for a command (design C1): begin, go on,
say that it is finished, refuse. Nothing is written before the config, the
addresses and the data set have been checked.
"""

import hashlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from trainer import config as configs
from trainer import storage
from trainer.config import Config
from trainer.errors import CatganError, DataError
from trainer.launch.same_run import refuse_changes, same_config
from trainer.run_folder import NewRun, RunFolder, RunRecord, split_run_address

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Outcome:
    """What became of a command that trains.

    Attributes:
        status: `finished`, `stopped` or `already finished`.
        step: The last finished step.
        run: Address of the run folder.
        cause: In one line.
        resume_command: What goes on from here.
    """

    status: str
    step: int
    run: str
    cause: str
    resume_command: str


@dataclass(frozen=True)
class Options:
    """How a start differs from its config, without changing the run.

    Attributes:
        from_step: Go on from this checkpoint; default: the newest that counts.
        eager: Do not trace the step.
        callbacks: `gan -> more callbacks`.
        overrides: Keys that this start changed, for the run's history.
        before_publish: See `trainer.worker.Context`.
    """

    from_step: int | None = None
    eager: bool = False
    callbacks: Callable[[Any], list] = lambda gan: []
    overrides: tuple[str, ...] = ()
    before_publish: Callable[[int], None] = lambda step: None


def train(config: Config, options: Options | None = None) -> Outcome:
    """Trains a run, or goes on with it if its folder holds it already.

    Raises:
        ConfigError: The folder holds a run with another config; the keys are named.
        CatganError: See `trainer.worker.run`.
    """
    options = options or Options()
    folder = RunFolder(storage.open_folder(config.run))
    record = folder.read_record()
    if record is not None and not options.overrides:
        config = same_config(config, folder)
    if record is not None and options.from_step is None and _is_finished(record, config):
        return _already_finished(folder, record)
    return _start(config, folder, options)


def resume(address: str, overrides: Sequence[str] = (), options: Options | None = None) -> Outcome:
    """Goes on with a run, from its address or that of one of its checkpoints.

    Args:
        address: Folder or bucket prefix.
        overrides: `key=value` for this start and those after it.
        options: See `Options`.

    Raises:
        ConfigError: An override would change the weights' shapes, the data order or a draw.
        CheckpointError: There is no run at this address, or none of its checkpoints counts.
    """
    options = options or Options()
    run_address, step = split_run_address(address)
    folder = RunFolder(storage.open_folder(run_address))
    before = configs.from_text(folder.read_config(), where=f"the config of {folder.address}")
    before = before.model_copy(update={"run": folder.address})
    config = configs.override(before, overrides)
    refuse_changes(before, config)
    if options.from_step is None:
        options = replace(options, from_step=step)
    return train(config, replace(options, overrides=tuple(overrides)))


def _is_finished(record: RunRecord, config: Config) -> bool:
    return record.status == "finished" and record.step >= config.training.steps


def _already_finished(folder: RunFolder, record: RunRecord) -> Outcome:
    more = f"catgan resume {folder.address} training.steps={2 * record.step}"
    cause = f"it has all its {record.step:,} steps"
    return Outcome("already finished", record.step, folder.address, cause, more)


def _start(config: Config, folder: RunFolder, options: Options) -> Outcome:
    from trainer import checkpoint, device, worker
    from trainer.callbacks.preemption import StopRequests

    found = device.set_up(config)
    config, dataset = _open_dataset(_resolve(config, folder))
    choices = _choices(config, folder.read_record(), found)
    log.info("run %s on %s, data set %s", folder.address, found.name, dataset.address)
    with StopRequests(max_mins=config.training.max_mins) as stops:
        begun = checkpoint.begin(
            folder,
            _identity(config, dataset, choices),
            from_step=options.from_step,
            host=socket.gethostname(),
            versions=versions(),
            overrides=dict(item.split("=", 1) for item in options.overrides),
        )
        folder.write_config(configs.to_yaml(config))
        _tell_where(begun, config)
        context = worker.Context(
            stops=stops,
            jit=choices["jit"],
            eager=options.eager,
            before_publish=options.before_publish,
        )
        result = _ending(
            folder,
            begun,
            lambda: worker.run(config, folder, dataset, begun, context, options.callbacks),
            config.training.global_batch,
        )
        command = f"catgan resume {folder.address}"
        if result.status == "stopped":
            stops.raise_if_signalled(result.step, command)
        return Outcome(result.status, result.step, folder.address, result.cause, command)


def _tell_where(begun: Any, config: Config) -> None:
    if begun.checkpoint:
        log.info("going on from step %s", f"{begun.first_step:,}")
    else:
        log.info("training %s steps from the beginning", f"{config.training.steps:,}")


def _ending(folder: RunFolder, begun: Any, work: Any, global_batch: int) -> Any:
    """Runs `work` and notes in the run's record how it ended."""
    try:
        result = work()
    except BaseException as error:
        cause = error.what if isinstance(error, CatganError) else f"{type(error).__name__}: {error}"
        stopped = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 0) >= 130
        _note_end(folder, begun, "stopped" if stopped else "failed", cause or repr(error))
        raise
    folder.end_start(
        begun.start,
        result.status,
        result.cause,
        step=result.step,
        images_seen=result.step * global_batch,
    )
    return result


def _note_end(folder: RunFolder, begun: Any, status: Any, cause: str) -> None:
    try:
        folder.end_start(begun.start, status, cause)
    except CatganError as error:
        log.warning("the end of this start could not be noted: %s", error.what)


def _resolve(config: Config, folder: RunFolder) -> Config:
    """Fixes what the config leaves open, so that the saved one gives the same run."""
    from trainer.data import order
    from trainer.gan.build import resolve_precision

    lanes = config.dataset.lanes or order.default_lanes(
        config.training.global_batch, config.cluster.workers
    )
    address = storage.open_folder(config.dataset.address).address
    dataset = config.dataset.model_copy(update={"lanes": lanes, "address": address})
    precision = resolve_precision(config.precision)
    return config.model_copy(
        update={"run": folder.address, "dataset": dataset, "precision": precision}
    )


def _open_dataset(config: Config) -> tuple[Config, Any]:
    from trainer.data import stream

    settings = config.dataset
    prepare_if_missing(config)
    dataset = stream.open_dataset(
        settings.address,
        cache_mib=settings.cache_mib,
        memory_mib=settings.memory_mib,
        cache_dir=settings.cache_dir or _user_cache(),
    )
    if dataset.size_px != settings.size_px:
        raise DataError(
            f"the data set {dataset.address} has pictures of {dataset.size_px} px, the config "
            f"says dataset.size_px={settings.size_px}",
            expected="the same size",
            remedy=f"set dataset.size_px={dataset.size_px}, or prepare the pictures at "
            f"{settings.size_px} px into another data set",
        )
    return config, dataset


def _user_cache() -> Path:
    """The user's cache folder by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "catgan"


def prepare_if_missing(config: Config) -> None:
    """Prepares the data set from `dataset.source` if there is none yet."""
    from trainer.data.shards import MANIFEST_NAME

    settings = config.dataset
    if not settings.source or storage.open_folder(settings.address).exists(MANIFEST_NAME):
        return
    from trainer.data import watch
    from trainer.data.options import PrepareOptions
    from trainer.data.prepare import prepare

    log.info("preparing %s from %s", settings.address, settings.source)
    options = PrepareOptions(
        size_px=settings.size_px,
        crop=settings.crop,
        encoding=settings.encoding,
        val_fraction=settings.val_fraction,
    )
    with watch.shown() as report:
        prepare(settings.source, settings.address, options, report)


def _choices(config: Config, record: RunRecord | None, found: Any) -> dict[str, Any]:
    """What is chosen by measuring: taken from the run's record where it was chosen before."""
    if config.jit != "auto":
        return {"jit": bool(config.jit)}
    if record is not None and "jit" in record.choices:
        return {"jit": bool(record.choices["jit"])}
    if config.deterministic or found.kind == "CPU":
        # On CPUs XLA was never faster in our measurements, and costs seconds to compile.
        return {"jit": False}
    from trainer.gan.measure import jit_is_faster

    return {"jit": jit_is_faster(config)}


def _identity(config: Config, dataset: Any, choices: dict[str, Any]) -> NewRun:
    same = config.model_copy(
        update={"run": "", "dataset": config.dataset.model_copy(update={"address": ""})}
    )
    return NewRun(
        name=PurePosixPath(config.run.rstrip("/")).name,
        dataset_address=dataset.address,
        dataset_fingerprint=dataset.fingerprint,
        config_hash=hashlib.sha256(configs.to_yaml(same).encode()).hexdigest()[:16],
        choices=choices,
    )


def versions() -> dict[str, str]:
    """Returns the versions of this program and the libraries that numbers depend on."""
    import importlib.metadata
    import platform

    names = ("catgan", "tensorflow", "keras", "numpy")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}
