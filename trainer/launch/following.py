"""Following a job from afar: its log, through dropped connections, to its end.

Owns when to ask again and what a job's end means as an exit code (design C8). Where the
lines go is the caller's; the server itself is `job_server.py`'s.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainer.errors import CatganError, ClusterError
from trainer.launch.job_server import Job, JobServer

PATIENCE_SECS = 600.0
"""How long a job server may be out of reach before it is given up."""

# A job of ours says something more often; a connection that died says nothing for ever.
_SILENCE_SECS = 90.0
_LEAST_WAIT_SECS, _MOST_WAIT_SECS = 1.0, 15.0
# `ray job stop` keeps no exit code: our driver's is 143 after its checkpoint.
_STOPPED_CODE = 143
_CLUSTER_CODE = ClusterError.exit_code


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        job: As the server last described it.
        exit_code: Of this program, see design C8.
    """

    job: Job
    exit_code: int


def end_of(job: Job) -> JobEnd:
    """Returns what the end of a job means."""
    if job.state == "SUCCEEDED":
        return JobEnd(job, 0)
    if job.state == "STOPPED":
        return JobEnd(job, _STOPPED_CODE)
    code = job.exit_code if job.exit_code is not None and job.exit_code > 0 else _CLUSTER_CODE
    return JobEnd(job, code)


class Follower:
    """Shows the log of a job while it grows; may be interrupted and called again.

    Args:
        server: Connected.
        job_id: The job.
        tell: Called with each piece of text, once, in order.
        lost: Called with a line when the connection is lost, and when it is there again.
        patience_secs: See `PATIENCE_SECS`.
    """

    def __init__(
        self,
        server: JobServer,
        job_id: str,
        tell: Callable[[str], None],
        lost: Callable[[str], None],
        patience_secs: float = PATIENCE_SECS,
    ) -> None:
        self._server, self._job_id = server, job_id
        self._tell, self._lost = tell, lost
        self._patience_secs = patience_secs
        self._told_chars = 0
        self._lost_at: float | None = None

    def to_the_end(self) -> JobEnd:
        """Returns how the job ended.

        Raises:
            ClusterError: The server could not be reached for `patience_secs`.
            KeyboardInterrupt: Ctrl-C; the job goes on.
        """
        wait = _LEAST_WAIT_SECS
        while True:
            try:
                whole = asyncio.run(self._tail())
                job = self._server.job(self._job_id)
                if job.ended and not whole:
                    self._show(self._server.log(self._job_id), 0)
            except CatganError as error:
                self._still_patient(error.what)
            except Exception as error:  # what a broken connection raises depends on where it broke
                self._still_patient(error)
            else:
                self._reached()
                if job.ended:
                    return end_of(job)
            wait = min(2 * wait, _MOST_WAIT_SECS) if self._lost_at else _LEAST_WAIT_SECS
            time.sleep(wait)

    def _reached(self) -> None:
        if self._lost_at is not None:
            self._lost("connected again")
        self._lost_at = None

    def _still_patient(self, complaint: Any) -> None:
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            self._lost(f"the connection is lost ({_one_line(complaint)}); trying again")
        elif now - self._lost_at > self._patience_secs:
            raise ClusterError(
                f"{self._server.address} was out of reach for {self._patience_secs:.0f} s "
                f"({_one_line(complaint)}); job {self._job_id} may still run",
                expected="the cluster's dashboard",
                remedy=f"catgan logs {self._job_id} --address {self._server.address} --follow",
            )

    async def _tail(self) -> bool:
        """Shows what has not been shown; returns whether the server says that this was all."""
        seen = 0
        pieces = self._server.tail(self._job_id)
        while True:
            try:
                piece = await asyncio.wait_for(anext(pieces), _SILENCE_SECS)
            except StopAsyncIteration:
                return True
            except TimeoutError:
                return False  # ask how the job is, and listen anew
            self._reached()
            self._show(piece, seen)
            seen += len(piece)

    def _show(self, piece: str, seen: int) -> None:
        """Shows what is new of a piece of the log, `seen` characters being before it."""
        new = piece[max(0, self._told_chars - seen) :]
        if new:
            self._told_chars = seen + len(piece)
            self._tell(new)


def _one_line(complaint: Any) -> str:
    return " ".join(str(complaint).split())[:200] or type(complaint).__name__
