"""Sending a run to a cluster as a job.

Owns what is checked on this machine before anything is sent, and the choice of the job's
id. What is sent is `job_package.py`'s, the server `job_server.py`'s, watching it
`following.py`'s.
"""

import datetime
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer import __version__, storage
from trainer import config as configs
from trainer.config import Config
from trainer.errors import ClusterError, ConfigError
from trainer.launch import door, job_package, jobs, origin, starting
from trainer.launch.hold import hold
from trainer.launch.job_server import JobServer
from trainer.launch.same_run import same_config
from trainer.run_folder import RunFolder, RunRecord, step_name
from trainer.storage.address import SCHEME

log = logging.getLogger("catgan")

# Else one worker would train on the head, where there are no GPUs.
JOIN = ("--address", "auto")
_ADDRESSES = ("run", "dataset.address", "dataset.source", "training.start_from")
_OPTIONAL = ("dataset.source", "training.start_from")


@dataclass(frozen=True)
class Plan:
    """A submission that passed every check on this machine.

    Attributes:
        config: Checked, with absolute addresses.
        run: Canonical address of the run.
        words: The command behind `catgan` on the cluster.
        config_name: File name of the config that is sent; "" if the run has its own.
        record: Of the run; None if it does not exist yet.
        finished: There is nothing left to do.
    """

    config: Config
    run: str
    words: tuple[str, ...]
    config_name: str
    record: RunRecord | None
    finished: bool = False

    @property
    def start(self) -> int:
        """Number of the start that the job will be."""
        return jobs.next_start(self.record)


def plan_training(config: Config, config_path: Path, *, shares_disk: bool) -> Plan:
    """Checks a config as a command on the cluster would, and more.

    Args:
        config: With the command line's overrides.
        config_path: Where it was read; its file name goes along.
        shares_disk: The cluster sees the folders of this machine.

    Raises:
        ConfigError: The run exists with another config, an address exists only here, or
            `training.start_from` has other networks.
        CheckpointError: `training.start_from` holds no whole checkpoint.
        DataError: The data set does not fit, or is neither there nor made.
    """
    config = with_absolute_addresses(config, shares_disk=shares_disk)
    folder = RunFolder(storage.open_folder(config.run))
    record = folder.read_record()
    if record is not None and door.never_began(folder):
        record = None
    if record is not None:
        config = same_config(config, folder)
    config = config.model_copy(update={"run": folder.address})
    finished = record is not None and door.is_finished(record, config)
    if not finished:
        _check(config, record)
    name = config_path.stem + ".yaml"
    return Plan(config, folder.address, ("train", name, *JOIN), name, record, finished)


def plan_resumption(
    run: str, overrides: Sequence[str], from_step: int | None, *, shares_disk: bool
) -> Plan:
    """Checks a resumption as the command on the cluster would.

    Raises:
        CheckpointError: There is no run there.
        ConfigError: An override would make it another run, or the run exists only here.
    """
    folder, config = door.resumed_config(run, overrides)
    # As it was typed: the folder's own address is absolute, wherever it lies.
    _must_be_reachable("the run", run, "run", shares_disk=shares_disk)
    record = folder.read_record()
    finished = record is not None and from_step is None and door.is_finished(record, config)
    if not finished:
        _check(config, record)
    step = () if from_step is None else ("--from", step_name(from_step))
    given = _absolute(overrides, with_absolute_addresses(config, shares_disk=shares_disk))
    words = ("resume", folder.address, *given, *step, *JOIN)
    return Plan(config, folder.address, words, "", record, finished)


def with_absolute_addresses(config: Config, *, shares_disk: bool) -> Config:
    """Returns the config with addresses that mean the same on the cluster.

    Raises:
        ConfigError: One is a path that only this machine can mean.
    """
    flat = configs.flat(config)
    found = {key: flat[key] for key in _ADDRESSES}
    for key, address in found.items():
        # These may be left out, and a source need not be an address.
        if (key == "dataset.source" and ":" in address) or (key in _OPTIONAL and not address):
            continue
        _must_be_reachable(key, address, key, shares_disk=shares_disk)
    run, dataset = (storage.open_folder(found[key]).address for key in ("run", "dataset.address"))
    source = config.dataset.source
    if source and ":" not in source:
        source = storage.canonical(source)
    update = {"address": dataset, "source": source}
    start_from = config.training.start_from and storage.canonical(config.training.start_from)
    return config.model_copy(
        update={
            "run": run,
            "dataset": config.dataset.model_copy(update=update),
            "training": config.training.model_copy(update={"start_from": start_from}),
        }
    )


def _absolute(overrides: Sequence[str], config: Config) -> list[str]:
    """Returns the overrides, addresses among them as the config has them."""
    flat = configs.flat(config)
    keys = [item.partition("=")[0] for item in overrides]
    return [
        configs.setting(key, flat[key]) if key in _ADDRESSES else item
        for key, item in zip(keys, overrides, strict=True)
    ]


def _must_be_reachable(what: str, address: str, key: str, *, shares_disk: bool) -> None:
    if storage.is_bucket(address) or shares_disk or os.path.isabs(address):
        return
    raise ConfigError(
        f"{what} is {address!r}, a folder of this machine",
        expected="a place that all nodes of the cluster reach: gs://bucket/prefix, or the absolute "
        "path of a folder that all of them mount",
        remedy=configs.setting(key, in_a_bucket(address)),
    )


def in_a_bucket(address: str) -> str:
    """Returns the address that a folder would have in a bucket, for a remedy."""
    return f"{SCHEME}BUCKET/{address.strip('./')}"


def _check(config: Config, record: RunRecord | None) -> None:
    starting.refuse_other_pictures(config, is_new=record is None)
    starting.refuse_too_many_workers(config)
    if record is None:
        origin.told(origin.pinned(config), None)


def send(plan: Plan, server: JobServer, name: str = "") -> str:
    """Submits a job; returns its id.

    Args:
        plan: Checked.
        server: Connected.
        name: In the job's metadata, for people; default: that of the run.

    Raises:
        ClusterError: A job of this run waits or runs, or another process trains it; Ray's
            version is another; the server refuses.
    """
    refuse_other_ray(server)
    known = server.jobs()
    jobs.refuse_second(known, plan.run, server.address)
    with hold(RunFolder(storage.open_folder(plan.run))):
        pass  # writes nothing: it only asks whether somebody trains the run
    job_id = jobs.next_id(plan.run, plan.record, [job.id for job in known])
    with job_package.packed(plan.words, plan.config, plan.config_name) as package:
        server.submit(job_id, package.command, package.runtime_env, metadata(plan, name))
    log.info("submitted %s to %s", job_id, server.address)
    return job_id


def send_examination(config: Config, config_path: Path, server: JobServer, secs: float) -> str:
    """Submits `catgan doctor` for a config; returns the job's id.

    Args:
        config: With absolute addresses.
        config_path: Where it was read.
        server: Connected.
        secs: How long a piece of the run trains.
    """
    name = config_path.stem + ".yaml"
    words = ("doctor", name, *JOIN, "--secs", f"{secs:g}", "--json")
    run = jobs.prefix(config.run).removeprefix("catgan-")
    job_id = f"catgan-doctor-{run}-{secrets.token_hex(3)}"
    with job_package.packed(words, config, name) as package:
        noted = {"job_name": "catgan doctor", "catgan_version": __version__}
        server.submit(job_id, package.command, package.runtime_env, noted)
    return job_id


def metadata(plan: Plan, name: str = "") -> dict[str, str]:
    """Returns what the dashboard shows of a job."""
    return {
        "job_name": name or plan.run.rstrip("/").rpartition("/")[2],
        jobs.RUN_KEY: plan.run,
        "catgan_start": str(plan.start),
        "catgan_version": __version__,
        "catgan_submitted": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def refuse_other_ray(server: JobServer) -> None:
    """Raises ClusterError where the cluster's Ray is not the one of this environment."""
    import ray

    if server.ray_version != ray.__version__:
        raise ClusterError(
            f"the cluster at {server.address} runs Ray {server.ray_version}",
            expected=f"Ray {ray.__version__}, as in this environment: the config was checked for "
            "that one",
            remedy=f"pip install 'ray[default,train]=={server.ray_version}' here, or start the "
            f"cluster with Ray {ray.__version__}",
        )
