"""What every start does, whichever door it came through.

Owns fixing what a config leaves open, opening or preparing its data set, what a
start says of its run, and noting how it ended. Does not decide whether a start
is wanted (`door.py`) or who runs it (`local.py`, `on_ray.py`).
"""

import contextlib
import hashlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from trainer import __version__, storage
from trainer import config as configs
from trainer.config import Config
from trainer.errors import CatganError, DataError
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

    lanes = config.dataset.lanes or order.default_lanes(
        config.training.update_batch, config.cluster.max_workers
    )
    address = storage.open_folder(config.dataset.address).address
    dataset = config.dataset.model_copy(update={"lanes": lanes, "address": address})
    if config.precision != "auto":
        precision = config.precision
    return origin.pinned(
        config.model_copy(
            update={"run": folder.address, "dataset": dataset, "precision": precision}
        )
    )


def open_dataset(config: Config) -> Any:
    """Opens the data set of a resolved config; raises DataError where it does not fit."""
    from trainer.data import stream

    settings = config.dataset
    dataset = stream.open_dataset(
        settings.address,
        cache_mib=settings.cache_mib,
        memory_mib=settings.memory_mib,
        cache_dir=settings.cache_dir,
    )
    refuse_other_size(dataset.manifest, config)
    return dataset


def refuse_other_pictures(config: Config) -> None:
    """Raises DataError where a data set is there and does not fit, or is neither there nor made."""
    from trainer.data.shards import MANIFEST_NAME, checked_manifest

    folder = storage.open_folder(config.dataset.address)
    if not config.dataset.source or folder.exists(MANIFEST_NAME):
        refuse_other_size(checked_manifest(folder), config)


def refuse_other_size(manifest: Any, config: Config) -> None:
    """Raises DataError where a data set's pictures are not of the config's size."""
    settings = config.dataset
    if manifest.size_px != settings.size_px:
        raise DataError(
            f"the data set {settings.address} has pictures of {manifest.size_px} px, the config "
            f"says dataset.size_px={settings.size_px}",
            expected="the same size",
            remedy=f"set dataset.size_px={manifest.size_px}, or prepare the pictures at "
            f"{settings.size_px} px into another data set",
        )


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


def choices(config: Config, record: RunRecord | None, found: Any) -> dict[str, Any]:
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


def tell_where(begun: Any, config: Config) -> None:
    """Says in the log where a start goes on."""
    if begun.checkpoint:
        log.info("going on from step %s", f"{begun.first_step:,}")
    elif config.training.start_from:
        steps, first = config.training.steps, config.training.start_from
        log.info("training %s steps from the networks of %s", f"{steps:,}", first)
    else:
        log.info("training %s steps from the beginning", f"{config.training.steps:,}")


def tell_shape(config: Config, dataset: Any, world_size: int) -> None:
    """Says in the log how the work is shared among several workers."""
    from trainer.data.order import rows_of

    batch, lanes = config.training.global_batch, config.dataset.lanes
    rows = [len(rows_of(rank, world_size, lanes, batch)) for rank in range(world_size)]
    shares = str(rows[0]) if len(set(rows)) == 1 else f"{max(rows)} to {min(rows)}"
    log.info(
        "global batch %d on %d workers, %s pictures each (%d lanes); %s steps an epoch",
        batch,
        world_size,
        shares,
        lanes,
        f"{dataset.train_count / batch:,.1f}",
    )


def tell_traffic(gan: Any, world_size: int) -> None:
    """Says in the log what every worker sends in a step: its gradients, around a ring."""
    weights = [*gan.generator.trainable_variables, *gan.discriminator.trainable_variables]
    gradient_bytes = sum(weight.value.dtype.size * math.prod(weight.shape) for weight in weights)
    sent = ring_bytes(gradient_bytes, world_size)
    log.info(
        "every worker sends %.1f MB a step, for %.1f MB of gradients", sent / 1e6,
        gradient_bytes / 1e6,
    )  # fmt: skip


def ring_bytes(gradient_bytes: float, world_size: int) -> float:
    """Returns what each of the workers of a ring sends to sum a tensor over all of them.

    Each sends a share of 1/n to its neighbour n - 1 times to sum, and again to spread the sums
    (Patarasuk and Yuan, 2009).
    """
    return 2 * gradient_bytes * (world_size - 1) / world_size


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
