"""What every start does, whichever door it came through.

Owns fixing what a config leaves open, opening or preparing its data set, what a
run's record is told of a start, and noting how it ended. Does not decide whether a
start is wanted (`door.py`) or who runs it (`local.py`, `on_ray.py`).
"""

import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from trainer import __version__, storage
from trainer import config as configs
from trainer.config import Config
from trainer.errors import CatganError
from trainer.launch import origin
from trainer.run_folder import NewRun, RunFolder, RunRecord

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
        address: Of a Ray cluster: `local`, `auto` or `HOST:PORT`. None: as the config's number
            of workers wants it.
    """

    from_step: int | None = None
    eager: bool = False
    callbacks: Callable[[Any], list] = lambda gan: []
    overrides: tuple[str, ...] = ()
    before_publish: Callable[[int], None] = lambda step: None
    address: str | None = None


def on_cluster(config: Config, options: Options) -> bool:
    """Says whether the workers of a Ray cluster train, and not this process."""
    return options.address is not None or config.cluster.max_workers > 1


def resolve(config: Config, folder: RunFolder, precision: str) -> Config:
    """Fixes what the config leaves open, so that the saved one gives the same run.

    Args:
        config: As it was written.
        folder: The run folder.
        precision: What `auto` stands for on the machines that train.
    """
    from trainer.data import order

    address = storage.open_folder(config.dataset.address).address
    fixed = {"lanes": order.lanes_for(config), "address": address}
    dataset = config.dataset.model_copy(update=fixed)
    if config.precision != "auto":
        precision = config.precision
    return origin.pinned(
        config.model_copy(
            update={"run": folder.address, "dataset": dataset, "precision": precision}
        )
    )


def refuse_too_many_workers(config: Config) -> None:
    """Raises ConfigError where the batch or the lanes leave a worker without work."""
    from trainer.data import order

    workers, batch = config.cluster.max_workers, config.training.global_batch
    order.check_world_size(workers, order.lanes_for(config), batch)


def open_dataset(config: Config) -> Any:
    """Opens the data set of a resolved config; raises DataError where it does not fit."""
    from trainer.data import fitting, stream

    settings = config.dataset
    dataset = stream.open_dataset(
        settings.address,
        cache_mib=settings.cache_mib,
        memory_mib=settings.memory_mib,
        cache_dir=settings.cache_dir,
    )
    fitting.refuse_misfit(dataset.manifest, settings, is_new=False)
    return dataset


def refuse_other_pictures(config: Config, *, is_new: bool) -> None:
    """Raises DataError where a data set is there and does not fit, or is neither there nor made.

    Args:
        config: Of the run.
        is_new: It has not begun; else its data set's fingerprint says whether it is still the one.
    """
    from trainer.data import fitting
    from trainer.data.shards import MANIFEST_NAME, checked_manifest

    settings = config.dataset
    folder = storage.open_folder(settings.address)
    if not settings.source or folder.exists(MANIFEST_NAME):
        fitting.refuse_misfit(checked_manifest(folder), settings, is_new=is_new)


def refuse_unmeasurable(config: Config, manifest: Any) -> None:
    """Refuses to train towards measurements that could never be made.

    Raises:
        ConfigError: `evaluation.features` names no network.
        DataError: Too few pictures are held out.
    """
    asked = config.evaluation
    if not asked.every_steps.value:
        return
    from trainer.evaluation import figures, spelling

    for name in asked.features.split(","):
        if name.strip() != "auto":
            spelling.split(name)
    held_out = manifest.counts.validation
    figures.refuse_what_no_network_can(asked.metrics, min(asked.count or held_out, held_out))


def prepare_if_missing(config: Config) -> None:
    """Prepares the data set from `dataset.source` if there is none yet."""
    from trainer.data.shards import MANIFEST_NAME

    settings = config.dataset
    if not settings.source or storage.open_folder(settings.address).exists(MANIFEST_NAME):
        return
    from trainer.data import watch
    from trainer.data.fitting import PREPARED_BY
    from trainer.data.options import PrepareOptions
    from trainer.data.prepare import prepare

    log.info("preparing %s from %s", settings.address, settings.source)
    options = PrepareOptions(**{key: getattr(settings, key) for key in PREPARED_BY})
    with watch.shown() as report:
        prepare(settings.source, settings.address, options, report)


def choices(config: Config, record: RunRecord | None, found: Any) -> dict[str, Any]:
    """What is chosen by measuring: taken from the run's record where it was chosen before."""
    jit = known_jit(config, record.choices if record else {}, on_gpu=found.kind != "CPU")
    if jit is None:
        from trainer.gan.measure import jit_is_faster

        jit = jit_is_faster(config)
    return {"jit": jit}


def known_jit(config: Config, recorded: Mapping[str, Any], *, on_gpu: bool) -> bool | None:
    """Says whether the step is compiled with XLA; None where that has to be measured.

    Args:
        config: Its `jit` stands, if it is not `auto`.
        recorded: Choices that the run made before; they stand then.
        on_gpu: The machines that train have one.
    """
    if config.jit != "auto":
        return bool(config.jit)
    if "jit" in recorded:
        return bool(recorded["jit"])
    if config.deterministic or not on_gpu:
        # On CPUs XLA was never faster in our measurements, and costs seconds to compile.
        return False
    return None


def identity(
    config: Config, fingerprint: str, choices: dict[str, Any], record: RunRecord | None
) -> NewRun:
    """Returns what a start says of its run; addresses and machines are no part of what it is.

    Raises:
        CatganError: `training.start_from` cannot be begun with, see `trainer.launch.origin`.
    """
    same = config.model_copy(
        update={
            "run": "",
            "dataset": config.dataset.model_copy(update={"address": ""}),
            "cluster": type(config.cluster)(),
        }
    )
    return NewRun(
        name=PurePosixPath(config.run.rstrip("/")).name,
        dataset_address=config.dataset.address,
        dataset_fingerprint=fingerprint,
        config_hash=hashlib.sha256(configs.to_yaml(same).encode()).hexdigest()[:16],
        choices=choices,
        origin=origin.told(config, record),
    )


def versions() -> dict[str, str]:
    """Returns what numbers depend on: this program, its libraries, the processor."""
    import importlib.metadata
    import platform

    found = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    # A package that was sent to a cluster is installed nowhere.
    own = {"python": platform.python_version(), "catgan": __version__}
    return {**own, **found, "processor": processor()}


def processor() -> str:
    """Returns the processor as its maker calls it, and how many cores: sums may depend on both."""
    import os
    import platform
    from pathlib import Path

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        told = dict(line.partition(":")[::2] for line in lines if ":" in line)
        name = next((v for k, v in told.items() if k.strip() == "model name"), name)
    return f"{name.strip()}, {len(os.sched_getaffinity(0))} cores"


def ending(folder: RunFolder, start: int, work: Callable[[], Any], global_batch: int) -> Any:
    """Runs `work` and notes in the run's record how it ended.

    Args:
        folder: The run folder.
        start: Number of the start that works.
        work: Returns a `trainer.worker.Result`.
        global_batch: Pictures a step.
    """
    try:
        result = work()
    except BaseException as error:
        cause = error.what if isinstance(error, CatganError) else f"{type(error).__name__}: {error}"
        stopped = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 0) >= 130
        note_end(folder, start, "stopped" if stopped else "failed", cause or repr(error))
        raise
    folder.end_start(
        start,
        result.status,
        result.cause,
        step=result.step,
        images_seen=result.step * global_batch,
    )
    return result


def note_end(folder: RunFolder, start: int, status: Any, cause: str) -> None:
    """Notes the end of a start that failed; that it cannot be noted is only a warning."""
    try:
        folder.end_start(start, status, cause)
    except CatganError as error:
        log.warning("the end of this start could not be noted: %s", error.what)
