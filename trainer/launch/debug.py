"""A few eager steps of a person's config, watched closely, in a run folder of their own.

Owns what makes a debug run differ from a real one: where it lies, how many
steps, that the step is eager and watched. It is trained by `trainer.launch.door`
like any other.
"""

import bdb
import logging
import time
from typing import Any

from trainer import storage
from trainer.callbacks.base import StepCallback, read_figures
from trainer.callbacks.stop_at import StopAt
from trainer.config import Config
from trainer.console import figure
from trainer.errors import ConfigError, InterruptedRun
from trainer.launch import door
from trainer.launch.debug_report import Report, device_in_words, memory_mib
from trainer.launch.debug_watch import Watch
from trainer.launch.scratch import remove_all
from trainer.launch.starting import Options, Outcome
from trainer.run_folder import RunFolder

log = logging.getLogger("catgan")

STEPS = 5
_ENDING = "-debug"
# Stands in the history of a debug run; only such a run is replaced.
_MARK = "debug"


def debug(config: Config, report: Report, *, steps: int = STEPS) -> Outcome:
    """Trains a few eager steps and looks at each.

    Args:
        config: The person's; its run folder is not touched.
        report: Is filled step by step, also where a step fails.
        steps: How many steps.

    Raises:
        TrainingError: A tensor is not finite; it is named.
        ConfigError: The folder of the debug run holds something else.
        InterruptedRun: The person left the debugger.
        CatganError: See `trainer.launch.door.train`.
    """
    config = _debug_config(config)
    report.run = config.run
    steps = min(steps, config.training.steps)
    _clear(RunFolder(storage.open_folder(config.run)))
    log.info("%d eager steps in %s, a run folder of their own, replaced each time",
             steps, config.run)  # fmt: skip

    def callbacks(gan: Any) -> list:
        from trainer.gan import state

        report.device, report.on_gpu = device_in_words()
        log.info("on %s", report.device)
        report.placed(list(state.variables(gan).values()))
        Watch(gan, report).install()
        return [_Tell(report), StopAt(steps)]

    options = Options(eager=True, callbacks=callbacks, overrides=(f"{_MARK}=true",))
    try:
        return door.train(config, options)
    except bdb.BdbQuit:
        raise InterruptedRun(
            "left from the debugger", remedy=f"the debug run is in {config.run}"
        ) from None


def _debug_config(config: Config) -> Config:
    run = config.run.rstrip("/")
    training = config.training.model_copy(update={"steps_per_call": 1})
    return config.model_copy(
        update={
            "run": run if run.endswith(_ENDING) else run + _ENDING,
            "jit": False,
            "training": training,
            "log": config.log.model_copy(update={"tensorboard": False}),
            "cluster": config.cluster.model_copy(update={"workers": 1}),
        }
    )


def _clear(folder: RunFolder) -> None:
    """Removes the debug run before this one; raises ConfigError for anything else."""
    record = folder.read_record()
    if record is not None and record.starts and _MARK in record.starts[0].overrides:
        remove_all(folder.folder)
    elif record is not None or any(True for _ in folder.folder.list()):
        raise ConfigError(
            f"{folder.address} holds something that no debug run left there",
            expected="a debug run, which is replaced, or nothing",
            remedy="give another one: run=ADDRESS (the debug run lies beside it, at "
            f"ADDRESS{_ENDING})",
        )


class _Tell(StepCallback):
    """Says how each step went."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report
        self._began = time.perf_counter()

    def begin(self, step: int) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Notes the step's figures and logs them."""
        figures = read_figures(self.model, logs)
        secs = time.perf_counter() - self._began
        memory = memory_mib(self._report.on_gpu)
        self._report.figures.append({"step": step, "secs": round(secs, 4), **memory, **figures})
        log.info(
            "step %d: D %s G %s, %.0f ms, watching included",
            step,
            figure(figures["d_loss"]),
            figure(figures["g_loss"]),
            1e3 * secs,
        )
        self._began = time.perf_counter()
