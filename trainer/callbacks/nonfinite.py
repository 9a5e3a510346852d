"""Stops a run whose losses are no longer numbers.

Owns when the model's note of the first non-finite step is read and what the
person is told. The note itself is made on the device by `trainer.gan.figures`;
reading it waits for the device, so it is not done after every step. Losses
come before the update they cause, so weights that are to be kept are looked at
themselves, behind the training: there are many.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trainer.callbacks.base import StepCallback
from trainer.command_line import catgan
from trainer.config import Config, setting
from trainer.config.kinds import value_out
from trainer.errors import NonFiniteError
from trainer.run_folder import step_name
from trainer.schedules import largest, scaled

_CHECK_SECS = 1.0


class NonFinite(StepCallback):
    """Raises NonFiniteError soon after a step whose losses were not finite.

    Args:
        config: Of the run, for advice in terms of its own values.
        run_address: For the command that goes on from the last good checkpoint.
        last_good_step: Returns the newest published checkpoint's step, or None; its argument says
            whether to wait for one that is under way.
    """

    def __init__(
        self, config: Config, run_address: str, last_good_step: Callable[[bool], int | None]
    ) -> None:
        super().__init__()
        self._config = config
        self._run_address = run_address
        self._last_good_step = last_good_step
        self._checked_at = 0.0

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Checks about once a second."""
        if time.monotonic() - self._checked_at >= _CHECK_SECS:
            self.check(step)

    def end(self, step: int) -> None:
        """Checks once more, so that no run ends well with broken losses."""
        self.check(step)

    def refuse(self, step: int, state: Mapping[str, np.ndarray]) -> None:
        """Looks at all that a checkpoint would hold after `step`; called behind the training.

        Raises:
            NonFiniteError: Some number is not finite.
        """
        floats = (array for array in state.values() if array.dtype.kind == "f")
        if not all(np.isfinite(array).all() for array in floats):
            what = f"the weights after step {step:,} are"
            # The checkpoint that is under way is this one.
            raise self._error(what, step, step, waits=False)

    def check(self, step: int) -> None:
        """Reads the model's note now.

        Raises:
            NonFiniteError: A step up to `step` had a loss that was not finite.
        """
        first = int(self.model.figures.first_nonfinite_step.numpy())
        self._checked_at = time.monotonic()
        if first >= 0:
            raise self._error(f"the losses of step {first:,} are", first, step)

    def _error(self, what: str, first: int, step: int, *, waits: bool = True) -> NonFiniteError:
        good = self._last_good_step(waits)
        noticed = f" (noticed after step {step:,})" if step != first else ""
        kept = (
            f"the last good checkpoint is {step_name(good)}"
            if good is not None
            else "there is no checkpoint before it, so nothing is good but the beginning"
        )
        back = self._config.training.rollbacks
        went = f"; the run went back {back} times for such losses already" if back else ""
        return NonFiniteError(
            f"{what} not finite{noticed}; {kept}{went}",
            expected="finite numbers; no weights from that step on were kept",
            remedy=self._advice(good, first),
        )

    def _advice(self, good: int | None, first: int) -> str:
        config = self._config
        halved = " ".join(
            setting(f"{name}.rate", value_out(scaled(getattr(config, name).rate, 0.5)))
            for name in ("generator_optimizer", "discriminator_optimizer")
        )
        again = catgan("resume", self._run_address)
        command = again if good is not None else "start again with"
        tries = [f"halve the rates: {command} {halved}"]
        if config.precision not in ("float32", "float64"):
            tries.append("rule out rounding: precision=float32")
        if largest(config.loss.r1_weight) == 0:
            tries.append("tame the discriminator: loss.r1_weight=1")
        look = catgan("replay", self._run_address, "--step", first)
        tries.append(f"look into that step: {look}")
        tries.append("find the first bad tensor: catgan debug CONFIG")
        return "; ".join(tries)
