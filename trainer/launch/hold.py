"""Holding a run: one driver trains it at a time, and a dead one is taken over from.

Owns waiting for a run's turn, taking its lease, renewing it behind the training and
giving it back. What a lease is and when it is dead is `trainer.run_folder.holder`'s;
which checkpoints count after a takeover is `trainer.checkpoint.rule`'s.
"""

import datetime
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from typing import Self

from trainer.errors import CatganError, ConfigError, StorageError
from trainer.launch import alive
from trainer.run_folder import Holder, RunFolder, RunRecord
from trainer.run_folder import holder as leases

LEASE_VARIABLE = "CATGAN_LEASE_SECS"
"""Environment variable: another length of the leases that this process takes."""

_LONGEST_LEASE_SECS = 3600.0
_POLL_SECS = 1.0
# A renewal may be in the middle of a call to storage, which can try for minutes.
_STOP_SECS = 5.0
log = logging.getLogger("catgan")


def hold(folder: RunFolder, *, lease_secs: float | None = None) -> "Hold":
    """Returns a context manager in which this process is the one that trains a run.

    Entering writes nothing: it returns once nobody else holds the run. `take` then takes it,
    after everything has been checked; leaving gives it back.

        with hold(folder) as held:
            ...                                      # check config, addresses, data set
            held.take()
            checkpoint.claim(..., holder=held.holder)
            ...                                      # train; stop if held.lost()

    Args:
        folder: The run folder; the run need not exist yet.
        lease_secs: Without a sign of life for so long we are taken for dead; default: what
            `CATGAN_LEASE_SECS` says, or 60.

    Raises:
        ConfigError: The length of the lease cannot be used.
    """
    return Hold(folder, _lease_secs() if lease_secs is None else lease_secs)


def _lease_secs() -> float:
    text = os.environ.get(LEASE_VARIABLE)
    if text is None:
        return leases.LEASE_SECS
    with suppress(ValueError):
        if 0.0 < (secs := float(text)) <= _LONGEST_LEASE_SECS:
            return secs
    raise ConfigError(
        f"{LEASE_VARIABLE}={text!r} is no length of a lease",
        expected=f"seconds, more than 0 and at most {_LONGEST_LEASE_SECS:g}; "
        f"{leases.LEASE_SECS:g} if it is not set",
        remedy=f"unset {LEASE_VARIABLE}",
    )


class Hold:
    """One process's hold on a run, see `hold`.

    Args:
        folder: The run folder.
        lease_secs: See `hold`.
    """

    def __init__(self, folder: RunFolder, lease_secs: float) -> None:
        self._folder = folder
        now = _now()
        self._lease = Holder(
            token=secrets.token_hex(16),
            host=socket.gethostname(),
            pid=os.getpid(),
            process=alive.identity(os.getpid()),
            since=now,
            renewed=now,
            lease_secs=lease_secs,
        )
        self._sight = _Sight()
        self._seen_ours = False
        self._lost = ""
        self._reachable = True
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """Tells this hold from others."""
        return self._lease.token

    @property
    def lease_secs(self) -> float:
        """Without a sign of life for so long we are taken for dead."""
        return self._lease.lease_secs

    @property
    def holder(self) -> Holder:
        """The lease, for `RunFolder.claim_start`; raises RuntimeError before `take`."""
        if self._thread is None:
            raise RuntimeError("take() the run before claiming a start")
        return self._lease

    def lost(self) -> str:
        """Returns who took the run from us, in one line; "" while it is ours.

        Known at the next renewal, a sixth of a lease after it happened, or at once for a process
        that was frozen.
        """
        return self._lost

    def raise_if_lost(self) -> None:
        """Raises CheckpointError if another process took the run."""
        if self._lost:
            raise leases.lost(self._folder.address, self._lost)

    def must_be_ours(self) -> None:
        """Asks the run folder at once; raises CheckpointError if another process took the run."""
        try:
            self._renew()
        except StorageError as error:
            log.debug("the hold on the run could not be renewed: %s", error.what)
        self.raise_if_lost()

    def __enter__(self) -> Self:
        """Waits until nobody else holds the run, at most as long as a lease.

        Raises:
            ClusterError: Somebody does, and is alive.
        """
        self._await_turn()
        return self

    def take(self) -> None:
        """Takes the run: from here on others are refused, and the lease is renewed.

        A run that does not exist yet is taken by its first claim. To be called once.

        Raises:
            ClusterError: Somebody else was quicker.
        """
        while not self._swapped():
            pass  # ends: a holder that gives signs of life is an error
        self._thread = threading.Thread(target=self._renew_always, name="run-lease", daemon=True)
        self._thread.start()

    def _swapped(self) -> bool:
        exists, dead = self._await_turn()
        now = _now()
        self._lease = self._lease.model_copy(update={"since": now, "renewed": now})
        if not exists:
            return True
        try:
            self._folder.update_record(lambda record: leases.taken(record, self._lease, dead))
        except leases.Changed:
            return False
        self._seen_ours = True
        if dead is not None:
            log.info("taken over from %s: no sign of life from there", dead.told())
        return True

    def _await_turn(self) -> tuple[bool, Holder | None]:
        """Returns whether the run exists, and whose dead lease is in it."""
        said = False
        while True:
            record = self._folder.read_record()
            if record is None or record.holder is None or record.holder.token == self.token:
                return record is not None, None
            left = self._sight.left_secs(record, self._folder.address)
            if left <= 0:
                return True, record.holder
            if not said:
                log.info(
                    "%s is held by %s; last sign of life %.0f s ago. Waiting for another, at most "
                    "%.0f s; without one the run is taken over",
                    self._folder.address,
                    record.holder.told(),
                    max(0.0, record.holder.silent_secs(_now())),
                    left,
                )
                said = True
            time.sleep(min(_POLL_SECS, record.holder.renew_secs / 2, left))

    def _renew_always(self) -> None:
        while not self._stop.wait(self._lease.renew_secs) and not self._lost:
            try:
                self._renew()
                self._reachable = True
            except CatganError as error:
                level = logging.WARNING if self._reachable else logging.DEBUG
                log.log(level, "the hold on the run could not be renewed: %s", error.what)
                self._reachable = False

    def _renew(self) -> None:
        lease = self._lease.model_copy(update={"renewed": _now()})
        if not self._seen_ours and self._folder.read_record() is None:
            return  # the run has not begun yet
        record = self._folder.update_record(lambda record: leases.renewed(record, lease))
        self._seen_ours |= record.holder == lease
        line = leases.lost_to(record, self.token)
        if line and (record.holder is not None or self._seen_ours):
            self._lost = line
            log.warning("%s is no longer ours: %s", self._folder.address, line)

    def __exit__(self, *error: object) -> None:
        """Gives the run back; that it cannot be given back is only a warning."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(_STOP_SECS)
        if self._lost:
            return
        try:
            if self._thread.is_alive() or not self._reachable:
                # Trying again could take minutes, in which the process looks hung.
                raise ConnectionError("the storage does not answer")
            if self._folder.read_record() is not None:
                self._folder.update_record(lambda record: leases.released(record, self.token))
        except (CatganError, ConnectionError) as trouble:
            what = trouble.what if isinstance(trouble, CatganError) else trouble
            log.warning(
                "the run was not given back, so other machines wait for it up to %.0f s: %s",
                self._lease.lease_secs,
                what,
            )


class _Sight:
    """What was seen of a run's holder over time."""

    def __init__(self) -> None:
        self._stamp: tuple[str, datetime.datetime] | None = None
        self._since = 0.0

    def left_secs(self, record: RunRecord, address: str) -> float:
        """Returns how long the holder has to give a sign of life; at 0 or less it is dead.

        Raises:
            ClusterError: It gave one.
        """
        holder = record.holder
        if holder is None:
            return 0.0
        stamp = (holder.token, holder.renewed)
        gave_a_sign = self._stamp is not None and stamp != self._stamp
        if stamp != self._stamp:
            self._stamp, self._since = stamp, time.monotonic()
        state = alive.state(holder.pid, holder.process)
        if state == "gone":
            return 0.0
        left = leases.left_secs(
            holder,
            _now(),
            watched_secs=time.monotonic() - self._since,
            same_clock=alive.same_clock(holder.process),
            running=state == "alive",
        )
        fresh = holder.silent_secs(_now()) < holder.lease_secs
        if left > 0 and (gave_a_sign or (state == "alive" and fresh)):
            raise leases.being_trained(record, holder, _now(), address)
        return left


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
