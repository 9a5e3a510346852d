"""A search: its folder, its trials, what came of them.

    SEARCH/search.json           what is searched, so that the same command goes on
    SEARCH/trials/trial-0003/    a run like any other, and scores.json
    SEARCH/ray/                  Ray Tune's own state
    SEARCH/best.yaml             the config of the winner

Owns these files and the choice of the winner. Knows nothing of Ray.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from trainer import config as configs
from trainer import storage
from trainer.command_line import catgan
from trainer.config import Config
from trainer.errors import ConfigError
from trainer.launch.tuning.score import judging_network, refuse_unlike
from trainer.launch.tuning.space import Axis, config_of_trial, trials_of
from trainer.launch.tuning.trial import Trial, read_scores, rungs_of

PLAN, BEST = "search.json", "best.yaml"
REDUCTION = 3


@dataclass(frozen=True)
class Search:
    """All that is decided before the first trial.

    Attributes:
        address: Of the search's folder.
        base: The config that trials differ from; data set address absolute.
        features: Name of the network that every trial is scored with.
        keys: That differ between trials.
        trials: In order.
        rungs: Steps at which trials are compared.
    """

    address: str
    base: Config
    features: str
    keys: list[str]
    trials: list[Trial]
    rungs: list[int]


@dataclass(frozen=True)
class Row:
    """What came of a trial.

    Attributes:
        number: Of the trial.
        settings: What it tried.
        step: The last rung it was scored at, 0 for none.
        distance: Its score there, None without one.
        error: The standard error of that.
        state: `finished`, `stopped`, `failed` or `not begun`.
        run: Address of its run folder.
    """

    number: int
    settings: dict[str, str]
    step: int
    distance: float | None
    error: float | None
    state: str
    run: str


def plan(base: Config, axes: list[Axis], address: str, count: int | None) -> Search:
    """Decides the trials and checks the config of each.

    Raises:
        ConfigError: A trial cannot be run, or the trials are several workers each.
    """
    if base.cluster.max_workers > 1:
        raise ConfigError(
            f"each trial would want {base.cluster.max_workers} workers",
            expected="trials of one worker: many of them side by side fill a cluster",
            remedy="cluster.workers=1",
        )
    folder = storage.open_folder(address).address
    data = storage.open_folder(base.dataset.address).address
    base = configs.override(base, [configs.setting("dataset.address", data)])
    features = judging_network(base)
    # A trial that is sent back goes on at half the rates it is to be judged by.
    once = [configs.setting("evaluation.features", features), "training.max_rollbacks=0"]
    scored = configs.override(base, once)
    trials = []
    for number, settings in enumerate(trials_of(axes, count, base.seed)):
        run = storage.join(folder, f"trials/trial-{number:04d}")
        config = config_of_trial(scored, settings, run)
        trials.append(Trial(number, settings, run, configs.to_yaml(config)))
    rungs = rungs_of(base.training.steps, REDUCTION)
    return Search(folder, base, features, [axis.key for axis in axes], trials, rungs)


def claim(search: Search) -> bool:
    """Writes what is searched; returns whether it was there already.

    Raises:
        ConfigError: The folder holds another search.
    """
    folder = storage.open_folder(search.address)
    wanted = {
        "features": search.features,
        "rungs": search.rungs,
        "trials": [asdict(trial) for trial in search.trials],
    }
    try:
        found = json.loads(folder.read(PLAN))
    except storage.NotFound:
        folder.write(PLAN, json.dumps(wanted, indent=1).encode())
        return False
    if found != wanted:
        raise ConfigError(
            f"{search.address} holds a search with other trials, or scored in another way",
            expected="the same config, --over and --trials, which go on with it",
            remedy="give another folder: --out ADDRESS",
        )
    return True


def rows_of(search: Search, failed: dict[int, str]) -> list[Row]:
    """Returns what came of every trial, the best first.

    Trials compare at the same step only: those that came further stand first, those that failed
    last.

    Args:
        search: The search.
        failed: Why, by the number of the trial.

    Raises:
        DataError: Trials were scored in unlike ways.
    """
    rows = []
    known = {trial.number: read_scores(trial.run) for trial in search.trials}
    refuse_unlike([score for scores in known.values() for score in scores])
    for trial in search.trials:
        scores = known[trial.number]
        last: dict[str, Any] = scores[-1] if scores else {}
        step = last.get("step", 0)
        state = "stopped" if step else "not begun"
        if step == search.rungs[-1]:
            state = "finished"
        elif trial.number in failed:
            state = "failed"
        rows.append(
            Row(
                trial.number,
                trial.settings,
                step,
                last.get("value"),
                last.get("error"),
                state,
                trial.run,
            )
        )
    return sorted(rows, key=lambda row: (row.state == "failed", -row.step, row.distance or 0.0))


def write_best(search: Search, rows: list[Row], name: str) -> str:
    """Writes the winner's config, with a run folder of its own; returns its address.

    Raises:
        ConfigError: No trial came to a score.
    """
    winner = rows[0]
    if winner.distance is None or winner.state == "failed":
        raise ConfigError(
            "no trial came to a score",
            expected="one at least that trains to its first rung",
            remedy=f"look at what one says: {catgan('inspect', winner.run)}",
        )
    run = f"runs/{name}-best"
    config = config_of_trial(search.base, winner.settings, run)
    tried = " ".join(f"{key}={value}" for key, value in winner.settings.items())
    head = f"# The best of {len(rows)} trials: {tried}\n"
    figure = f"{winner.distance:.4g} ± {winner.error:.2g}"
    head += f"# Kernel distance {figure} after {winner.step:,} steps.\n"
    storage.open_folder(search.address).write(BEST, (head + configs.to_yaml(config)).encode())
    return storage.join(search.address, BEST)
