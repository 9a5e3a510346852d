"""What our callbacks share: they are told the step, and they are closed.

Owns the translation from Keras' hooks to ours and the closing of all
callbacks, however a fit ends. Does not do any of their work.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import keras

log = logging.getLogger("catgan")


class StepCallback(keras.callbacks.Callback):
    """A callback that is told how many steps are finished.

    One call of the train function may run several steps, so Keras' batch
    number is not used: `model.step` is the truth. Keras does not call
    `on_train_end` when a fit fails, hence `close`.
    """

    def begin(self, step: int) -> None:
        """Called once before the first step, with the steps finished before this start."""

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Called after each call of the train function; must be cheap when nothing is due."""

    def end(self, step: int) -> None:
        """Called once when the fit ended without an error, all its steps done or stopped."""

    def close(self) -> None:
        """Frees what is held. Called once, however the fit ended."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keras' hook; see `begin`."""
        self.begin(int(self.model.step))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras' hook; see `after_call`."""
        self.after_call(int(self.model.step), logs or {})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Keras' hook; see `end`."""
        self.end(int(self.model.step))


def read_figures(model: keras.Model, logs: dict[str, Any]) -> dict[str, float]:
    """Returns the last step's losses and penalties as numbers; waits for the device.

    Keras turns every tensor that the train function returns into a number at
    once, and so waits after each call; a model that keeps them to itself as
    `last_figures` is asked only here.
    """
    figures = logs or model.last_figures
    return {name: float(value) for name, value in figures.items()}


@contextlib.contextmanager
def closing(callbacks: Sequence[StepCallback]) -> Iterator[None]:
    """Closes every callback at the end of the block, in order.

    If the block failed, its error stands, and what goes wrong while closing is
    only logged; else the first error of a `close` is raised, after all were called.
    """
    try:
        yield
    except BaseException:
        for error in _close_all(callbacks):
            log.warning("while stopping: %s", error)
        raise
    errors = _close_all(callbacks)
    for error in errors[1:]:
        log.warning("while stopping: %s", error)
    if errors:
        raise errors[0]


def _close_all(callbacks: Sequence[StepCallback]) -> list[Exception]:
    errors = []
    for callback in callbacks:
        try:
            callback.close()
        except Exception as error:
            errors.append(error)
    return errors
