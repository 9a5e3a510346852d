"""A trial as Ray Tune runs it: its rungs one after another, each reported.

Owns that a trial begun before goes on: scores are kept beside its run, and its run folder
resumes by itself. Whether it goes on after a rung is the scheduler's to say.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from trainer import child, storage
from trainer.errors import TrainingError
from trainer.launch.tuning.trial_process import Order

SCORES = "scores.json"


@dataclass(frozen=True)
class Trial:
    """What one trial is.

    Attributes:
        number: From 0.
        settings: What it tries, `{key: value as YAML}`.
        run: Address of its run folder.
        config: Its config as YAML.
    """

    number: int
    settings: dict[str, str]
    run: str
    config: str


def rungs_of(steps: int, reduction: int) -> list[int]:
    """Returns the steps at which trials are compared: the last, and 1/r and 1/r² of it."""
    return sorted({step for step in (steps // reduction**2, steps // reduction) if step} | {steps})


def climb(trial: Trial, rungs: list[int]) -> Iterator[dict[str, Any]]:
    """Yields the score of each rung, those that are known already at once.

    Raises:
        TrainingError: The trial diverged or failed otherwise; says how.
    """
    folder = storage.open_folder(trial.run)
    known = read_scores(trial.run)
    for step in rungs:
        found = next((row for row in known if row["step"] == step), None)
        if found is None:
            found = _run(Order(trial.config, step))
            known.append(found)
            folder.write(SCORES, json.dumps(known, indent=1).encode())
        yield found


def read_scores(run: str) -> list[dict[str, Any]]:
    """Returns the scores that a trial has so far, the lowest rung first."""
    try:
        return json.loads(storage.open_folder(run).read(SCORES))
    except storage.NotFound:
        return []


def _run(order: Order) -> dict[str, Any]:
    """Runs one rung; its log lines go to the log file that Ray keeps of this worker."""
    # Ray hides the GPUs of others by this process's environment, which the child has too.
    process = subprocess.Popen(
        child.command("trainer.launch.tuning.trial_process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child.environment(),
        text=True,
    )
    orders, answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
    with process, orders:
        orders.write(order.to_json() + "\n")
        orders.flush()
        text = answers.read()
        code = process.wait()
    answer = json.loads(text.splitlines()[-1]) if text.strip() else {}
    if code or "failed" in answer:
        raise TrainingError(answer.get("failed") or f"the trial's process ended with {code}")
    return answer
