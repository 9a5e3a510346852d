"""One run as it is looked at: its record, config, rows, measurements, and which grids there are.

Owns what is read and the run's history in words. Nothing here waits for a run that is going.
"""

import json
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainer import config as configs
from trainer import shipped, storage
from trainer.config import Config
from trainer.run_folder import RunFolder, RunRecord, names, read_evaluations, read_metrics

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Event:
    """Something that happened to a run.

    Attributes:
        step: The step at which it is shown.
        kind: `start`, `resume`, `resize`, `roll-back`, `end` or `checkpoint`.
        told: In one line.
        time: ISO 8601 in UTC; empty where it is not known.
    """

    step: int
    kind: str
    told: str
    time: str = ""


@dataclass(frozen=True)
class RunView:
    """What there is of one run.

    Attributes:
        folder: The run folder.
        record: Its `run.json`.
        config: As it was resolved.
        rows: Metrics, by step.
        evaluations: Measurements, by step.
        samples: Steps of which there is a grid, in order.
        checkpoints: Steps of which there is a whole checkpoint, in order.
        audits: What `catgan audit --note` left, by step.
    """

    folder: RunFolder
    record: RunRecord
    config: Config
    rows: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    samples: tuple[int, ...]
    checkpoints: tuple[int, ...]
    audits: tuple[dict[str, Any], ...]

    @property
    def address(self) -> str:
        """Where it lies."""
        return self.folder.address

    @property
    def global_batch(self) -> int:
        """Pictures a step."""
        return self.config.training.global_batch

    @cached_property
    def last_row(self) -> dict[str, Any]:
        """The newest row; empty where there is none."""
        return self.rows[-1] if self.rows else {}

    def grid(self, step: int) -> bytes:
        """Returns the PNG of a step's grid."""
        return self.folder.folder.read(names.sample(step))

    def history(self) -> list[Event]:
        """Returns what happened, in order of starts; checkpoints last."""
        events: list[Event] = []
        workers = 0
        for start in self.record.starts:
            first = start.first_step or 0
            events.append(_begun(start, first, workers))
            workers = start.world_size
            if start.cause:
                # A start that was killed noted no time.
                ended = start.ended or ""
                events.append(Event(self._ended_at(start.number), "end", start.cause, ended))
        saved = [
            Event(step, "checkpoint", f"checkpoint of step {step:,}") for step in self.checkpoints
        ]
        return events + saved

    def _ended_at(self, number: int) -> int:
        """The first step of the next start is the most that is left of this one."""
        later = [s for s in self.record.starts if s.number > number and s.first_step is not None]
        return int(later[0].first_step or 0) if later else self.record.step


def _begun(start: Any, first: int, workers: int) -> Event:
    place = f"on {start.host}" + (f", {start.world_size} workers" if start.world_size > 1 else "")
    changed = ", ".join(f"{key}={value}" for key, value in start.overrides.items())
    told = f"start {start.number} {place}" + (f"; {changed}" if changed else "")
    if "training.rollbacks" in start.overrides:
        return Event(first, "roll-back", told, start.time)
    if workers and workers != start.world_size:
        told = f"{told} (before: {workers})"
        return Event(first, "resize", told, start.time)
    return Event(first, "resume" if start.number > 1 else "start", told, start.time)


def read_run(address: str) -> RunView:
    """Reads a run.

    Args:
        address: Of the run folder, or of one of its checkpoints.

    Raises:
        CheckpointError: There is no run, or its record or config is damaged.
        StorageError: It cannot be reached.
    """
    run, _ = names.split_run_address(shipped.resolved(str(address).rstrip("/")))
    folder = RunFolder(storage.open_folder(run))
    record = folder.must_have_record()
    listed = [names.parse_sample(entry.name) for entry in folder.folder.list(f"{names.SAMPLES}/")]
    rows, saved = read_metrics(folder), _saved(folder)
    # Beyond lies what the run went back behind and has not reached again.
    reached = max([record.step, *saved, *(row["step"] for row in rows[-1:])])
    return RunView(
        folder,
        record,
        configs.from_text(folder.read_config(), where=f"the config of {folder.address}"),
        rows,
        read_evaluations(folder),
        tuple(sorted(step for step in listed if step is not None and step <= reached)),
        tuple(saved),
        tuple(_audits(folder)),
    )


_AUDIT_KEYS = ("first", "last", "tensors", "different", "why_not", "time", "secs", "verdict")


def _audits(folder: RunFolder) -> list[dict[str, Any]]:
    found = []
    for entry in folder.folder.list(f"{names.AUDITS}/"):
        if names.parse_audit(entry.name) is None:
            continue
        try:
            told = json.loads(folder.folder.read(entry.name))
            if missing := [key for key in _AUDIT_KEYS if key not in told]:
                raise ValueError(f"no {missing[0]}")
            found.append(told)
        except (ValueError, TypeError) as error:
            log.warning("left out: %s: %s", folder.folder.address_of(entry.name), error)
    return sorted(found, key=lambda told: int(told["last"]))


def _saved(folder: RunFolder) -> list[int]:
    from trainer import checkpoint

    return sorted(item.step for item in checkpoint.list_all(folder) if item.counts)
