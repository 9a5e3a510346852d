"""`run.json`: what a run is, where it stands and who worked on it.

Owns the record's shape, reading it from JSON, and the changes that a start makes
to it, as pure functions from record to record. Does no I/O, see
`trainer.run_folder.folder`.

A start passes through three states, and their order is what keeps two starts
apart (see `trainer.checkpoint.rule`): *claimed* (it has a number, and starts with
lower numbers delete nothing any more), *settled* (it chose the checkpoint that it
goes on from, and steps above it now belong to it), *ended*.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.errors import CheckpointError
from trainer.run_folder.holder import Holder, claimable

FORMAT_VERSION = 1
UNKNOWN_END = "no end was recorded: killed, cut off, or still running when the next start came"

Status = Literal["running", "finished", "failed", "stopped"]


class StartRecord(BaseModel):
    """One start of a run: a process (or group of them) that trains until it ends.

    Attributes:
        number: Counted from 1; never used twice.
        token: Random; tells two starts apart that would else write the same bytes.
        first_step: The step it goes on from; None until it has chosen.
        host: Name of the machine of rank 0.
        world_size: Workers.
        time: When it claimed its number, ISO 8601 in UTC.
        ended: When it ended, ISO 8601 in UTC; None while it runs or if it was killed.
        cause: Why it ended, in one line; None while it runs.
        versions: Of this program and the libraries that numbers depend on.
        overrides: Config keys that this start changed, with the new values.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    number: int = Field(ge=1)
    token: str
    first_step: int | None = Field(default=None, ge=0)
    host: str = "unknown"
    world_size: int = Field(default=1, ge=1)
    time: str = ""
    ended: str | None = None
    cause: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    overrides: dict[str, Any] = Field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether it has chosen the step that it goes on from."""
        return self.first_step is not None


class DatasetRecord(BaseModel):
    """The data set of a run: its absolute address and the fingerprint of its pictures."""

    model_config = ConfigDict(frozen=True, extra="allow")

    address: str
    fingerprint: str


class RunRecord(BaseModel):
    """What `run.json` holds.

    Attributes:
        format_version: Of this file; newer ones are refused.
        name: The config's name.
        status: Of the newest start.
        step: The last finished step that was noted (at most every few seconds).
        images_seen: Real pictures shown to the discriminator up to `step`.
        dataset: Address and fingerprint.
        config_hash: Hash of the resolved config.
        versions: Of the newest start.
        choices: Made by measuring (jit, threads, oneDNN), used again on resume.
        origin: Checkpoint of another run that the first weights are of; empty: drawn.
        holder: Who trains it now; None: nobody, or a program that holds no runs.
        starts: All starts, oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    format_version: int = FORMAT_VERSION
    name: str
    status: Status = "running"
    step: int = Field(default=0, ge=0)
    images_seen: int = Field(default=0, ge=0)
    dataset: DatasetRecord
    config_hash: str
    versions: dict[str, str] = Field(default_factory=dict)
    choices: dict[str, Any] = Field(default_factory=dict)
    origin: dict[str, Any] = Field(default_factory=dict)
    holder: Holder | None = None
    starts: tuple[StartRecord, ...] = ()

    def start(self, number: int) -> StartRecord:
        """Returns a start by its number; raises CheckpointError where there is none."""
        for start in self.starts:
            if start.number == number:
                return start
        raise CheckpointError(
            f"run {self.name!r} has no start {number}",
            expected=f"one of {[start.number for start in self.starts]}",
            remedy="run.json was replaced while this start was running; start again",
        )

    def later(self, number: int) -> tuple[StartRecord, ...]:
        """Returns the starts that claimed the run after a start."""
        return tuple(start for start in self.starts if start.number > number)

    def is_left_to(self, number: int) -> bool:
        """Whether nobody has claimed the run after a start, see `trainer.checkpoint.rule`.

        A claim that ended before it settled wrote nothing and is over; it does not stand in
        the way.
        """
        return not any(start.settled or not start.ended for start in self.later(number))

    def to_json(self) -> bytes:
        """Returns the record as indented JSON in UTF-8, ending in a newline."""
        return (self.model_dump_json(indent=2) + "\n").encode()


@dataclass(frozen=True)
class NewRun:
    """What a start says of its run, written into the record when it claims it.

    Attributes:
        name: The config's name.
        dataset_address: Absolute address of the data set.
        dataset_fingerprint: Hash over what determines its pictures.
        config_hash: Hash of the resolved config.
        choices: Made by measuring. Kept from the record where the run exists.
        origin: Of the first weights; the record of a run that exists keeps its own.
    """

    name: str
    dataset_address: str
    dataset_fingerprint: str
    config_hash: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)


def read_record(data: bytes, address: str) -> RunRecord:
    """Reads the bytes of a `run.json`.

    Args:
        data: Content of the file.
        address: Where it came from, for messages.

    Raises:
        CheckpointError: Not JSON, not a run's record, or of a newer format.
    """
    try:
        raw = json.loads(data)
        if isinstance(raw, dict) and raw.get("format_version", 0) != FORMAT_VERSION:
            raise _foreign(address, f"has format version {raw.get('format_version')!r}")
        record = RunRecord.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise _foreign(address, f"is no run's record ({where}: {first['msg']})") from error
    except (ValueError, RecursionError) as error:
        raise _foreign(address, f"is not JSON ({error})") from error
    numbers = [start.number for start in record.starts]
    if numbers != sorted(set(numbers)):
        raise _foreign(address, f"lists its starts in the order {numbers}")
    return record


def _foreign(address: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{address} {what}",
        expected=f"the record of a run, format version {FORMAT_VERSION}, as this program writes it",
        remedy="restore the file, choose another run folder, or use the version that wrote it",
    )


def changed_start(record: RunRecord, number: int, **changes: Any) -> RunRecord:
    """Returns the record with one start changed; raises CheckpointError where there is none."""
    record.start(number)
    starts = tuple(
        start.model_copy(update=changes) if start.number == number else start
        for start in record.starts
    )
    return record.model_copy(update={"starts": starts})


def claimed(
    record: RunRecord | None,
    new: NewRun,
    start: StartRecord,
    address: str,
    holder: Holder | None = None,
) -> RunRecord:
    """Returns the record with a new start at its end, and the open ones before it marked.

    Args:
        record: What is there; None for a new run.
        new: Identity of the run, as the start sees it.
        start: The start; it gets the next number.
        address: Of the run folder, for messages.
        holder: The lease of the driver that claims; it holds a new run from here on. None: who
            holds the run is not looked at.

    Raises:
        CheckpointError: The run is on other pictures.
        ClusterError: Another driver holds the run.
    """
    if record is not None and any(old.token == start.token for old in record.starts):
        return record  # our own write came through although its answer did not
    if holder is not None:
        claimable(record, holder, address)
    if record is None:
        record = _first(new).model_copy(update={"holder": holder})
    if record.dataset.fingerprint != new.dataset_fingerprint:
        raise _other_pictures(record, new, address)
    marked = [
        old if old.cause else old.model_copy(update={"cause": UNKNOWN_END}) for old in record.starts
    ]
    number = 1 + max((old.number for old in record.starts), default=0)
    return record.model_copy(
        update={
            "dataset": _dataset(new),
            "config_hash": new.config_hash,
            "versions": start.versions,
            "choices": {**new.choices, **record.choices},
            "starts": (*marked, start.model_copy(update={"number": number})),
        }
    )


def _first(new: NewRun) -> RunRecord:
    return RunRecord(
        name=new.name,
        dataset=_dataset(new),
        config_hash=new.config_hash,
        origin=dict(new.origin),
    )


def _dataset(new: NewRun) -> DatasetRecord:
    return DatasetRecord(address=new.dataset_address, fingerprint=new.dataset_fingerprint)


def _other_pictures(record: RunRecord, new: NewRun, address: str) -> CheckpointError:
    return CheckpointError(
        f"the run at {address} was trained on the data set {record.dataset.fingerprint} "
        f"({record.dataset.address}), not on {new.dataset_fingerprint} ({new.dataset_address})",
        expected="a data set with the same fingerprint",
        remedy="give this data set a run folder of its own (`run=...`), "
        "or set dataset.address back",
    )


def settled(record: RunRecord, number: int, first_step: int, images_seen: int) -> RunRecord:
    """Returns the record after a start chose the step that it goes on from.

    Raises:
        CheckpointError: A later start has claimed the run: this one came too late.
    """
    later = record.later(number)
    if later:
        raise taken_over(record.start(number), later[-1])
    record = changed_start(record, number, first_step=first_step)
    return record.model_copy(
        update={"status": "running", "step": first_step, "images_seen": images_seen}
    )


def taken_over(start: StartRecord, later: StartRecord) -> CheckpointError:
    """Returns the error of a start that another has taken the run from."""
    where = f"at step {later.first_step}" if later.settled else "and is choosing its first step"
    return CheckpointError(
        f"start {start.number} on {start.host} lost this run: start {later.number} on "
        f"{later.host} took over at {later.time or 'an unknown time'} {where}",
        expected="one start at a time on a run folder",
        remedy="let the later start go on; to run both, give one of them another `run` address",
    )
