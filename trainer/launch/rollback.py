"""Going back after a step whose losses were no numbers: how often, and what is different then.

Owns the decision. The newest checkpoint holds finite weights, because `callbacks.nonfinite` looks
before any are kept; a new start of the run goes on from it. Half the rates and other pictures and
draws (`Config.generator_adam`, `Config.step_seed`) follow from `training.rollbacks`, which the
run's saved config and every checkpoint carry, so that a resume after it is exact too.
"""

import logging

from trainer.config import Config
from trainer.errors import NonFiniteError

log = logging.getLogger("catgan")


def rolled_back(config: Config, error: NonFiniteError) -> Config:
    """Returns the config with which the run goes on from its newest checkpoint.

    Raises:
        NonFiniteError: `error`, if the run has been sent back often enough.
    """
    training = config.training
    if training.rollbacks >= training.max_rollbacks:
        raise error
    number = training.rollbacks + 1
    log.warning(
        "%s; what came after that is trained again, with rates of 1/%d and other pictures and "
        "draws (%d of at most %d times: training.max_rollbacks)",
        error.what,
        2**number,
        number,
        training.max_rollbacks,
    )
    return config.model_copy(update={"training": training.model_copy(update={"rollbacks": number})})


def overrides(config: Config) -> tuple[str, ...]:
    """Returns what a start after a roll-back changed, for the run's history."""
    return (f"training.rollbacks={config.training.rollbacks}",)
