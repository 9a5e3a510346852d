"""What was measured of a run's checkpoints: one small file for each.

Owns where it lies and reading it back in order. What is in it is a dictionary that
`trainer.evaluation.result` makes, `Evaluation.as_dict`, with `step` and `images_seen` added.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from trainer.errors import CheckpointError
from trainer.run_folder import names
from trainer.run_folder.folder import RunFolder
from trainer.run_folder.record import StartRecord


def write_evaluation(
    run: RunFolder, step: int, images_seen: int, found: Mapping[str, Any], start: int
) -> None:
    """Writes an evaluation of a checkpoint, over one of the same step if there is any.

    Args:
        run: The run folder.
        step: Of the checkpoint.
        images_seen: Up to there.
        found: What was measured.
        start: Number of the start that published it.

    Raises:
        StorageError: It cannot be written.
    """
    told = {"step": step, "images_seen": images_seen, "start": start, **found}
    run.folder.write(names.evaluation(step), (json.dumps(told, indent=1) + "\n").encode())


def read_evaluations(run: RunFolder) -> list[dict[str, Any]]:
    """Returns all evaluations of a run, by step.

    Those of steps that a later start went back behind are left out, as rows of figures are.

    Raises:
        CheckpointError: One cannot be read, or does not say of which step it is.
        StorageError: The run cannot be reached.
    """
    found = []
    for entry in run.folder.list(f"{names.EVALUATIONS}/"):
        if names.parse_evaluation(entry.name) is None:
            continue
        address = run.folder.address_of(entry.name)
        try:
            told = json.loads(run.folder.read(entry.name))
        except ValueError as error:
            raise _damaged(address, f"cannot be read: {error}") from error
        for key in ("step", "images_seen"):
            if not isinstance(told, dict) or not isinstance(told.get(key), int):
                raise _damaged(address, f"holds no {key}")
        found.append(told)
    record = run.read_record()
    starts = record.starts if record else ()
    return sorted(
        (told for told in found if told["step"] <= _reached(told.get("start"), starts)),
        key=lambda told: told["step"],
    )


def _reached(start: Any, starts: Iterable[StartRecord]) -> float:
    """The last step of a start that the run has kept; of an unknown one any."""
    if not isinstance(start, int):
        return math.inf
    later = [s.first_step for s in starts if s.number > start]
    return min((step for step in later if step is not None), default=math.inf)


def _damaged(address: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{address} {what}",
        expected="JSON, as training writes it",
        remedy="delete it: it can be measured again with catgan evaluate",
    )
