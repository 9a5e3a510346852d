"""What becomes of a run that was sent away, or that another process here trains.

Owns finding what a person means by a run's address or a job's id, and stopping it in good
order. Watching is `following.py`'s.
"""

import datetime
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from trainer import storage
from trainer.command_line import catgan
from trainer.errors import CheckpointError, ClusterError, ConfigError
from trainer.launch import alive, job_package, jobs
from trainer.launch.job_server import Job, JobServer
from trainer.run_folder import Holder, RunFolder, RunRecord, read_metrics
from trainer.run_folder import holder as leases

_POLL_SECS = 0.5
# What follows the job's own time limit: the cluster notes its end.
_GRACE_SECS = 30.0


@dataclass(frozen=True)
class Found:
    """What a person named.

    Attributes:
        folder: Of the run; None where only a job is known.
        record: The run's; None where it does not exist (yet).
        jobs: Of the run on the cluster, oldest first; empty without a cluster.
        by_job: A job was named, not a run.
    """

    folder: RunFolder | None
    record: RunRecord | None
    jobs: list[Job] = field(default_factory=list)
    by_job: bool = False

    @property
    def job(self) -> Job | None:
        """The newest job."""
        return self.jobs[-1] if self.jobs else None


def find(word: str, server: JobServer | None) -> Found:
    """Returns what `word` names.

    Args:
        word: A run's address (a path or gs://…) or a job's id.
        server: Asked for jobs; None: none is known.

    Raises:
        CheckpointError: There is no run and no job of this name.
    """
    if not _is_run(word):
        return _job_named(word, server)
    folder = RunFolder(storage.open_folder(word))
    record = folder.read_record()
    found = jobs.of_run(server.jobs(), folder.address) if server else []
    if record is None and not found:
        raise CheckpointError(
            f"there is no run at {folder.address}" + (" and no job of it" if server else ""),
            expected="the address of a run folder, or a job's id",
            remedy="look for jobs with --address http://HEAD:8265, if it was submitted"
            if server is None
            else "check the address",
        )
    return Found(folder, record, found)


def _is_run(word: str) -> bool:
    return "/" in word or os.path.isdir(word)


def _job_named(word: str, server: JobServer | None) -> Found:
    if server is None:
        raise ConfigError(
            f"{word!r} is no run's address; to look for a job of this name a cluster is needed",
            expected="the address of a run folder, or a job's id and its cluster",
            remedy="give --address http://HEAD:8265",
        )
    known = server.jobs()
    job = next((job for job in known if job.id == word), None)
    if job is None:
        ours = [job.id for job in known if job.id.startswith("catgan-")]
        raise ClusterError(
            f"{server.address} knows no job {word!r}",
            expected=f"one of {', '.join(ours[-5:])}" if ours else "a job; it has none of ours",
            remedy=f"{catgan('status', 'RUN', '--address', server.address)} tells those of a run",
        )
    run = (job.metadata or {}).get(jobs.RUN_KEY, "")
    folder = RunFolder(storage.open_folder(run)) if run else None
    return Found(folder, folder.read_record() if folder else None, [job], by_job=True)


def facts(found: Found) -> dict[str, Any]:
    """Returns where a run and its jobs stand, as plain values."""
    told: dict[str, Any] = {"jobs": [_job_facts(job) for job in found.jobs]}
    if found.folder is None:
        return told
    told["run"] = found.folder.address
    record = found.record
    if record is None:
        return told | {"status": "not begun"}
    rows = read_metrics(found.folder)
    newest = record.starts[-1] if record.starts else None
    holder = record.holder
    return told | {
        "status": record.status,
        "step": rows[-1]["step"] if rows else record.step,
        "images_seen": rows[-1]["images_seen"] if rows else record.images_seen,
        "starts": len(record.starts),
        "workers": newest.world_size if newest else None,
        "ended": newest.cause if newest else None,
        "held_by": holder.told() if holder else None,
        "last_sign_secs": round(holder.silent_secs(_now())) if holder else None,
        "images_per_sec": rows[-1].get("images_per_sec") if rows else None,
    }


def _job_facts(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state.lower(),
        "exit_code": job.exit_code,
        "started": _moment(job.started_ms),
        "ended": _moment(job.ended_ms),
    }


def to_stop(found: Found) -> Job | Holder | None:
    """Returns what must end so that nobody trains a run, or what was named has ended.

    That is the newest job, where one waits or runs; else the process of this machine that holds
    the run, unless a job was named. None: nobody trains it.

    Raises:
        ClusterError: A living process elsewhere trains the run, and no job that is known.
    """
    if found.job is not None and not found.job.ended:
        return found.job
    holder = found.record.holder if found.record else None
    if holder is None or found.folder is None or found.by_job:
        return None
    state = alive.state(holder.pid, holder.process)
    if state != "unknown":
        return None if state == "gone" else holder
    if leases.left_secs(holder, _now(), watched_secs=0.0, same_clock=False) <= 0:
        return None
    raise ClusterError(
        f"{found.folder.address} is trained by {holder.told()}, not on this machine",
        expected="a process here, or a job whose cluster is named",
        remedy="give --address http://HEAD:8265 of its cluster, or stop it there",
    )


def stop_job(server: JobServer, job: Job) -> Job:
    """Stops a job in good order; returns it as it ended.

    Raises:
        ClusterError: It did not end in time.
    """
    server.stop(job.id)
    until = time.monotonic() + job_package.STOP_SECS + _GRACE_SECS
    while not (now := server.job(job.id)).ended:
        if time.monotonic() > until:
            raise ClusterError(
                f"job {job.id} still runs {job_package.STOP_SECS + _GRACE_SECS:.0f} s after it was "
                "asked to stop",
                expected="its end, after a checkpoint",
                remedy=f"look at {server.address}; its log: "
                f"{catgan('logs', job.id, '--address', server.address)}",
            )
        time.sleep(_POLL_SECS)
    return now


def stop_process(folder: RunFolder, holder: Holder) -> None:
    """Asks a process of this machine to stop; returns when it has given the run back, or ended.

    Args:
        folder: Of the run that it trains.
        holder: Its hold on the run.

    Raises:
        ClusterError: It may not be asked, or did not stop in time.
    """
    try:
        os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # it has ended meanwhile
    except PermissionError as error:
        raise ClusterError(
            f"process {holder.pid}, which trains {folder.address}, belongs to another user",
            expected="a process that this user may send a signal",
            remedy=f"ask its owner, or send it SIGTERM as root: kill -TERM {holder.pid}",
        ) from error
    until = time.monotonic() + job_package.STOP_SECS
    while _trains(folder, holder):
        if time.monotonic() > until:
            raise ClusterError(
                f"process {holder.pid} still runs {job_package.STOP_SECS} s after SIGTERM",
                expected="its end, after a checkpoint",
                remedy=f"kill -KILL {holder.pid}; a resumption loses at most one interval",
            )
        time.sleep(_POLL_SECS)


def _trains(folder: RunFolder, holder: Holder) -> bool:
    """Says whether a process is there and has its hold on the run; it may go on to other work."""
    if alive.state(holder.pid, holder.process) in ("gone", "unknown"):
        return False
    record = folder.read_record()
    now = record.holder if record else None
    return now is not None and now.token == holder.token


def _moment(ms: int | None) -> str | None:
    if ms is None:
        return None
    moment = datetime.datetime.fromtimestamp(ms / 1e3, datetime.UTC)
    return moment.isoformat(timespec="seconds")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
