"""What a person sees while it trains: a live bar, or a line every so often.

Owns the wording and the rhythm. Where lines go is in `trainer.console`.
"""

import logging
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trainer import console
from trainer.callbacks.base import StepCallback, read_figures
from trainer.callbacks.pace import Pace, Stretch, kinds_of_steps
from trainer.config import Config

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger("catgan.progress")

# A refresh costs some milliseconds and waits for the device.
_REFRESH_SECS = 0.5
_FORECAST_STEPS = 20


class ProgressBar(StepCallback):
    """Tells step, losses, pictures a second, time left and data wait.

    Args:
        config: Of the run.
        waited_secs: Returns the seconds spent waiting for data so far.
    """

    def __init__(self, config: Config, waited_secs: Callable[[], float]) -> None:
        super().__init__()
        self._config = config
        self._total = config.training.steps
        self._batch = config.training.global_batch
        self._all = Pace(waited_secs)
        self._recent = Pace(waited_secs)
        self._refreshed_at = self._line_at = time.monotonic()
        self._first_step = 0
        self._penalty_every_steps = config.loss.due_every_steps
        self._compiled: set[tuple[bool, bool]] = set()
        self._last_call = 0, 0.0
        self._early_calls: list[tuple[int, float]] = []
        self._forecast_told = False
        self._bar: Progress | None = None

    def begin(self, step: int) -> None:
        """Puts up the bar where there is a terminal."""
        self._first_step = step
        self._last_call = step, time.monotonic()
        if console.terminal().is_terminal:
            self._bar = _new_bar()
            self._bar.add_task("", total=self._total, completed=step, told="")
            self._bar.start()

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Refreshes what is due."""
        now = time.monotonic()
        if not self._forecast_told:
            self._measure_early(step, now)
        if not self._all.marked:
            # The first call compiles, which is no measure of those that follow.
            self._mark(step)
            return
        line_due = now - self._line_at >= self._config.log.every_secs
        if line_due or (self._bar and now - self._refreshed_at >= _REFRESH_SECS):
            self._tell(step, logs, line_due)

    def _mark(self, step: int) -> None:
        self._all.mark(step)
        self._recent.mark(step)

    def _measure_early(self, step: int, now: float) -> None:
        """Collects calls that did not compile until there are enough for a forecast, given once."""
        last_step, last_now = self._last_call
        self._last_call = step, now
        kinds = kinds_of_steps(last_step, step, self._penalty_every_steps)
        if kinds <= self._compiled:
            self._early_calls.append((step - last_step, now - last_now))
        self._compiled |= kinds
        if self._early_calls and step - self._first_step >= _FORECAST_STEPS:
            self._forecast_told = True
            log.info("%s", self._forecast(step))
            # What compiled and drew early grids shall not weigh on the time left.
            self._mark(step)

    def end(self, step: int) -> None:
        """Says where training ended and at what speed."""
        whole = self._all.since_mark(step)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step, refresh=True)
        log.info(
            "step %s of %s%s", f"{step:,}", f"{self._total:,}", self._speed(whole, prefix=", ")
        )

    def close(self) -> None:
        """Takes the bar down."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _tell(self, step: int, logs: dict[str, Any], line_due: bool) -> None:
        figures = read_figures(self.model, logs)
        stretch = self._recent.since_mark(step)
        told = "  ".join(
            [
                f"D {console.figure(figures['d_loss'])} G {console.figure(figures['g_loss'])}",
                self._speed(stretch),
                f"{console.duration(self._left_secs(step))} left",
            ]
        )
        self._refreshed_at = time.monotonic()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step, told=told, refresh=True)
        if line_due:
            self._line_at = self._refreshed_at
            self._recent.mark(step)
            log.info(
                "step %s of %s  %s", f"{step:,}", f"{self._total:,}", told, extra=console.BESIDE_BAR
            )

    def _speed(self, stretch: Stretch, prefix: str = "") -> str:
        if not stretch.steps:
            return ""
        pictures = stretch.steps_per_sec * self._batch
        waiting = console.share(stretch.wait_share)
        return f"{prefix}{pictures:,.0f} pictures/s  {waiting} waiting for data"

    def _left_secs(self, step: int) -> float:
        speed = self._all.since_mark(step).steps_per_sec
        return (self._total - step) / speed if speed else float("nan")

    def _forecast(self, step: int) -> str:
        step_secs = _typical_step_secs(self._early_calls)
        left = (self._total - step) * step_secs
        parts = [
            f"{1e3 * step_secs:,.0f} ms a step",
            f"{self._batch / max(step_secs, 1e-9):,.0f} pictures a second",
            f"{console.duration(left)} left to step {self._total:,}",
        ]
        price = self._config.whole_price_per_hour
        if price:
            parts.append(f"which costs {price * left / 3600:,.2f} at {price:,.2f} an hour")
        return ", ".join(parts)


def _typical_step_secs(calls: list[tuple[int, float]]) -> float:
    """Mean of a step without calls that were followed by a grid; penalties count.

    Args:
        calls: Steps and seconds of each call.
    """
    usual = 4 * statistics.median(secs / steps for steps, secs in calls)
    kept = [(steps, secs) for steps, secs in calls if secs / steps <= usual]
    return sum(secs for _, secs in kept) / sum(steps for steps, _ in kept)


def _new_bar() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    # No refresh thread, and standard output left alone: it is for data.
    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        console=console.terminal(),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
