"""The trials of a search on Ray Tune, with ASHA.

Owns the scheduler, the resources of a trial, and that a search cut short goes on. What a
trial does is `trial.py`'s; what it tries, `space.py`'s.

ASHA (Li et al. 2020): a trial goes on beyond a rung only if it is among the best third
of those that have come to it so far; the first always does.
"""

import contextlib
import logging
import os
import sys
from typing import Any

from trainer.launch import ray_package
from trainer.launch.ray_cluster import connected
from trainer.launch.ray_storage import ray_storage
from trainer.launch.tuning.search import REDUCTION, Search, claim
from trainer.launch.tuning.trial import Trial, climb, read_scores

log = logging.getLogger("catgan")

_NAME = "search"


def run_search(search: Search, address: str) -> dict[int, str]:
    """Runs, or goes on with, all trials; returns why trials failed, by number.

    Args:
        search: Planned.
        address: Of a Ray cluster: `local`, `auto` or `HOST:PORT`.

    Raises:
        ClusterError: The cluster cannot be reached or started.
        ConfigError: The folder holds another search.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # The older output is silent where it is asked to be.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # Ctrl-C belongs to this program: the trials are killed, and go on with the next command.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    going_on = claim(search)
    settings = search.base.cluster
    extras = ray_package.extras_for(settings)
    with connected(address, package=settings.package, extras=extras):
        tuner = _tuner(search, going_on)
        # Standard output is for the answer of the command.
        with contextlib.redirect_stdout(sys.stderr):
            results = tuner.fit()
        return {
            int(result.config["trial"]): _last_line(result.error)
            for result in results
            if result.error is not None and result.config
        }


def _tuner(search: Search, going_on: bool) -> Any:
    from ray import tune

    path, filesystem = ray_storage(search.address)
    settings = search.base.cluster
    resources = {"cpu": settings.cpus_per_worker, "gpu": settings.gpus_per_worker}
    trainable = tune.with_resources(
        tune.with_parameters(
            _climb, trials=search.trials, rungs=search.rungs, mark=ray_package.mark("keras")
        ),
        resources,
    )
    place = f"{path}/{_NAME}"
    if going_on and tune.Tuner.can_restore(place, storage_filesystem=filesystem):
        log.info("going on with the search in %s", search.address)
        return tune.Tuner.restore(
            place,
            trainable,
            resume_unfinished=True,
            resume_errored=True,
            storage_filesystem=filesystem,
        )
    log.info(
        "%d trials, compared at steps %s", len(search.trials), ", ".join(map(str, search.rungs))
    )
    return tune.Tuner(
        trainable,
        param_space={"trial": tune.grid_search([trial.number for trial in search.trials])},
        tune_config=tune.TuneConfig(metric="value", mode="min", scheduler=_scheduler(search)),
        run_config=tune.RunConfig(
            name=_NAME,
            storage_path=path,
            storage_filesystem=filesystem,
            verbose=0,
            callbacks=[_told()],
        ),
    )


def _scheduler(search: Search) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    runs = [trial.run for trial in search.trials]

    class Remembering(ASHAScheduler):
        """Knows what trials came to before the search was cut short, which Ray does not keep."""

        def on_trial_add(self, tune_controller, trial):
            super().on_trial_add(tune_controller, trial)
            for score in read_scores(runs[trial.config["trial"]]):
                self.on_trial_result(tune_controller, trial, score)

    return Remembering(
        time_attr="step",
        max_t=search.rungs[-1],
        grace_period=search.rungs[0],
        reduction_factor=REDUCTION,
    )


def _climb(
    params: dict[str, Any], *, trials: list[Trial], rungs: list[int], mark: ray_package.Mark
) -> None:
    """What a worker of the cluster runs."""
    from ray import tune

    ray_package.must_match(mark)
    for row in climb(trials[params["trial"]], rungs):
        tune.report(row)


def _told() -> Any:
    from ray.tune import Callback

    class Told(Callback):
        """Says in the log what trials come to."""

        def on_trial_result(self, iteration, trials, trial, result, **info):
            log.info(
                "trial %d, step %s: kernel distance %.4g ± %.2g",
                result["config"]["trial"],
                f"{result['step']:,}",
                result["value"],
                result["error"],
            )

        def on_trial_error(self, iteration, trials, trial, **info):
            log.warning("trial %d failed", trial.config["trial"])

    return Told()


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
