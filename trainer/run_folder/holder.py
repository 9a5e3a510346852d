"""Who trains a run: a lease in `run.json`, held by one driver at a time.

Owns the lease's shape, when it is dead, and the changes to it, as pure functions
from record to record. Does no I/O and reads no clock; taking and renewing it is
`trainer.launch.hold`'s.

The lease lies in the run's record and not in a file of its own, because a claim
must look at it: "a new start, if I still hold the run" is then one compare-and-swap.
It only keeps drivers out of each other's way. That no checkpoint is lost or believed
wrongly does not rest on it, nor on any clock, but on the rule of the starts (see
`trainer.checkpoint.rule`): a holder that is wrongly taken for dead costs a restart.
"""

import datetime
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from trainer.command_line import catgan
from trainer.errors import CheckpointError, ClusterError

if TYPE_CHECKING:
    from trainer.run_folder.record import RunRecord, StartRecord

LEASE_SECS = 60.0
"""A holder that gave no sign of life for so long is dead."""

RENEWALS = 6
"""Signs of life in the time of a lease."""

_LONGEST_SECS = 3600.0
# Clocks of two machines that are further apart than so many leases are no longer considered.
_SURE_LEASES = 10
_ONE_AT_A_TIME = "one start at a time on a run folder"


class Holder(BaseModel):
    """A lease: who trains the run, and its last sign of life.

    Attributes:
        token: Random; tells two holders apart.
        host: Name of the machine.
        pid: Of the process that decides about the run.
        process: Tells that process from a later one with the same pid, and its machine from
            others, see `trainer.launch.alive`; "" where the system does not say.
        since: When it took the run.
        renewed: Its last sign of life, by its own clock.
        lease_secs: It promises one more often than this.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    token: str = Field(min_length=1)
    host: str = "unknown"
    pid: int = Field(ge=1)
    process: str = ""
    since: AwareDatetime
    renewed: AwareDatetime
    lease_secs: float = Field(default=LEASE_SECS, gt=0, le=_LONGEST_SECS)

    @property
    def renew_secs(self) -> float:
        """Seconds between two signs of life."""
        return self.lease_secs / RENEWALS

    def told(self) -> str:
        """Returns who it is and since when, in words."""
        return f"{self.host} (pid {self.pid}), since {_second(self.since)}"

    def silent_secs(self, now: datetime.datetime) -> float:
        """Returns the age of its last sign of life; negative if its clock is ahead of `now`."""
        return (now - self.renewed).total_seconds()

    def is_surely_dead(self, now: datetime.datetime) -> bool:
        """Whether its last sign of life is so old that no clock's error explains it."""
        return self.silent_secs(now) > _SURE_LEASES * self.lease_secs


def left_secs(
    holder: Holder,
    now: datetime.datetime,
    *,
    watched_secs: float,
    same_clock: bool,
    running: bool = False,
) -> float:
    """Returns how long a holder has to give a sign of life; at 0 or less it is dead.

    On one machine the time stamp decides. Another machine's clock may be wrong, and a process
    that runs may have slept with its machine until now; so their stamps are believed only if no
    sign was seen for a while either: for longer than a living holder keeps silent if the stamp
    is old, for a whole lease if it is not.

    Args:
        holder: The lease.
        now: By our clock, aware.
        watched_secs: How long we have seen this very stamp, by a clock that only goes forward.
        same_clock: Whether the holder's clock is ours.
        running: Whether its process is known to be there and not frozen.
    """
    lease, silent = holder.lease_secs, holder.silent_secs(now)
    if same_clock and silent >= 0 and not running:
        return lease - silent
    if holder.is_surely_dead(now) and not running:
        return 0.0
    return min(lease - watched_secs, max(lease - silent, 1.5 * holder.renew_secs - watched_secs))


class Changed(Exception):
    """The lease is not what a decision was made on: look again."""


def taken(record: "RunRecord", mine: Holder, over: Holder | None) -> "RunRecord":
    """Returns the record with `mine` in it.

    Args:
        record: What is there.
        mine: The lease to be held.
        over: The dead one that may be replaced; None: only a free run is taken.

    Raises:
        Changed: Another one is there, or it gave a sign of life.
    """
    there = record.holder
    if there is not None and there.token != mine.token and there != over:
        raise Changed
    return record.model_copy(update={"holder": mine})


def renewed(record: "RunRecord", mine: Holder) -> "RunRecord":
    """Returns the record with a newer sign of life; unchanged where `mine` does not hold it."""
    if record.holder is None or record.holder.token != mine.token:
        return record
    return record.model_copy(update={"holder": mine})


def released(record: "RunRecord", token: str) -> "RunRecord":
    """Returns the record without the lease; unchanged where another holds it."""
    if record.holder is None or record.holder.token != token:
        return record
    return record.model_copy(update={"holder": None})


def claimable(record: "RunRecord | None", mine: Holder, address: str) -> None:
    """Refuses the claim of a driver that does not hold the run, or not any more.

    Args:
        record: What is there; None: a new run, which the claim itself takes.
        mine: The lease of the driver that claims.
        address: Of the run folder, for messages.

    Raises:
        ClusterError: Another holds it now, or has held it in between.
    """
    if record is None:
        return
    if record.holder is None:
        raise ClusterError(
            f"{address} was trained by another process in the meantime"
            + (f": start {last.number} on {last.host}" if (last := _last(record)) else ""),
            expected=_ONE_AT_A_TIME,
            remedy=f"go on from where it stopped: {catgan('resume', address)}",
        )
    if record.holder.token != mine.token:
        raise being_trained(record, record.holder, mine.renewed, address)


def being_trained(
    record: "RunRecord", holder: Holder, now: datetime.datetime, address: str
) -> ClusterError:
    """Returns the error of a driver that came second.

    Args:
        record: Of the run.
        holder: Who holds it.
        now: By our clock, aware.
        address: Of the run folder.
    """
    last = _last(record)
    start = f"start {last.number} on " if last is not None and not last.ended else ""
    return ClusterError(
        f"{address} is being trained by {start}{holder.told()}, "
        f"last sign of life {max(0.0, holder.silent_secs(now)):.0f} s ago",
        expected=_ONE_AT_A_TIME,
        remedy=f"wait for it, or stop it there (Ctrl-C, or kill {holder.pid}), and start again; "
        "to train another run, give it an address of its own: run=…",
    )


def lost_to(record: "RunRecord", token: str) -> str:
    """Returns who took the run from the holder of `token`, in one line; "" if nobody did."""
    if record.holder is None:
        last = _last(record)
        who = f"start {last.number} on {last.host}" if last else "another process"
        return f"{who} took the run over and has ended since"
    if record.holder.token == token:
        return ""
    holder = record.holder
    return f"pid {holder.pid} on {holder.host} took the run over at {_second(holder.since)}"


def lost(address: str, line: str) -> CheckpointError:
    """Returns the error of a driver that stopped because the run was taken from it.

    Args:
        address: Of the run folder.
        line: From `lost_to`.
    """
    return CheckpointError(
        f"this process lost the run {address}: {line}, after no sign of life from here",
        expected=_ONE_AT_A_TIME,
        remedy="let the other go on; to run both, give one of them another `run` address",
    )


def _last(record: "RunRecord") -> "StartRecord | None":
    return record.starts[-1] if record.starts else None


def _second(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds")
