"""Which jobs of a cluster belong to a run, and what the next one is called.

Owns the ids of jobs: they follow from the run's address and the number of its next
start, so that two submissions of the same start meet. Pure; asks nobody.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from trainer.errors import ClusterError
from trainer.launch.job_server import Job
from trainer.run_folder import RunRecord

RUN_KEY = "catgan_run"
"""In a job's metadata: the address of its run."""

_NAME_CHARACTERS = 20


def prefix(run_address: str) -> str:
    """Returns what the ids of all jobs of a run begin with: `catgan-NAME-HASH`.

    Fit for a name in Kubernetes, at most 36 characters.
    """
    name = PurePosixPath(run_address.rstrip("/")).name.lower()
    name = re.sub("[^a-z0-9]+", "-", name)[:_NAME_CHARACTERS].strip("-") or "run"
    digest = hashlib.sha256(run_address.encode()).hexdigest()[:8]
    return f"catgan-{name}-{digest}"


def next_start(record: RunRecord | None) -> int:
    """Returns the number that the run's next start will have."""
    return record.starts[-1].number + 1 if record and record.starts else 1


def next_id(run_address: str, record: RunRecord | None, known: Iterable[str]) -> str:
    """Returns the id of the next job of a run.

    Args:
        run_address: Canonical.
        record: The run's; None: it does not exist yet.
        known: Ids of all jobs that the cluster remembers: one that ended before its start began
            has used up an id.
    """
    base = f"{prefix(run_address)}-{next_start(record)}"
    taken = set(known)
    tries = 1
    while (job_id := base if tries == 1 else f"{base}-try-{tries}") in taken:
        tries += 1
    return job_id


def of_run(jobs: Sequence[Job], run_address: str) -> list[Job]:
    """Returns the jobs of a run, oldest first."""
    beginning = prefix(run_address) + "-"
    found = [
        job
        for job in jobs
        if job.id.startswith(beginning) or (job.metadata or {}).get(RUN_KEY) == run_address
    ]
    return sorted(found, key=lambda job: (job.started_ms or 0, job.id))


def refuse_second(jobs: Sequence[Job], run_address: str, server: str) -> None:
    """Raises ClusterError where a job of the run waits or runs already."""
    for job in of_run(jobs, run_address):
        if not job.ended:
            raise ClusterError(
                f"job {job.id} of this run is {job.state.lower()} on {server}",
                expected="one job at a time for a run",
                remedy=f"watch it: catgan logs {job.id} --address {server} --follow; or end it: "
                f"catgan stop {job.id} --address {server}",
            )
