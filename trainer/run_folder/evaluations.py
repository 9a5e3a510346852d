"""What was measured of a run's checkpoints: one small file for each.

Owns where it lies and reading it back in order. What is in it is a dictionary that
`trainer.evaluation.result` makes, `Evaluation.as_dict`, with `step` and `images_seen` added.
"""

import json
from collections.abc import Mapping
from typing import Any

from trainer.errors import CheckpointError
from trainer.run_folder import names
from trainer.run_folder.folder import RunFolder


def write_evaluation(run: RunFolder, step: int, images_seen: int, found: Mapping[str, Any]) -> None:
    """Writes an evaluation of a checkpoint, over one of the same step if there is any.

    A run is exact: what another start measured of the same step is the same.

    Raises:
        StorageError: It cannot be written.
    """
    told = {"step": step, "images_seen": images_seen, **found}
    run.folder.write(names.evaluation(step), (json.dumps(told, indent=1) + "\n").encode())


def read_evaluations(run: RunFolder) -> list[dict[str, Any]]:
    """Returns all evaluations of a run, by step.

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
    return sorted(found, key=lambda told: told["step"])


def _damaged(address: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{address} {what}",
        expected="JSON, as training writes it",
        remedy="delete it: it can be measured again with catgan evaluate",
    )
