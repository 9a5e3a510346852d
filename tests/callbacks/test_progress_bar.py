"""What is told while it trains."""

import io
import logging
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.callbacks import tiny_run
from trainer import config, console
from trainer.callbacks import progress_bar
from trainer.callbacks.cadence import Schedule
from trainer.callbacks.pace import kinds_of_steps


@pytest.fixture
def told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("catgan"), "propagate", True)
    caplog.set_level(logging.INFO, logger="catgan.progress")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "catgan.progress"]


def test_lines_every_so_often_where_there_is_no_terminal(tmp_path, told):
    tiny_run.train(tmp_path, "log.every_secs=0.000001")
    lines = told()
    assert len(lines) == 12  # none for the call that compiles; one at the end
    assert lines[0].startswith("step 2 of 12  D ")
    assert "pictures/s" in lines[0]
    assert "waiting for data" in lines[0]
    assert lines[0].endswith(" left")
    assert lines[-1].startswith("step 12 of 12, ")


def test_a_forecast_with_the_cost_after_twenty_steps(tmp_path, told):
    tiny_run.train(tmp_path, "training.steps=22", "cost.price_per_hour=3600", "log.every_secs=1000")
    forecast, last = told()
    assert "ms a step" in forecast
    assert "left to step 22" in forecast
    assert "at 3,600.00 an hour" in forecast
    assert last.startswith("step 22 of 22")


def test_no_cost_without_a_price(tmp_path, told):
    tiny_run.train(tmp_path, "training.steps=22", "log.every_secs=1000")
    assert "cost" not in told()[0]


def test_a_terminal_shows_a_bar_that_is_taken_down(tmp_path, told, monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(console, "terminal", lambda: terminal)
    monkeypatch.setattr(progress_bar, "_REFRESH_SECS", 0.0)
    tiny_run.train(tmp_path)
    shown = screen.getvalue()
    assert "12/12" in shown
    assert "pictures/s" in shown
    assert "\x1b[?25h" in shown[shown.rindex("12/12") :]  # the cursor is shown again


class Clock:
    """Time that goes by only when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def forecast(monkeypatch, told, first_step, secs_of_call, *overrides):
    """The forecast of a start whose calls take the seconds that `secs_of_call(first, end)` says."""
    clock = Clock()
    monkeypatch.setattr(progress_bar, "time", clock)
    settings = config.from_text("", ["training.steps=9000", *overrides])
    schedule, bar = Schedule.of(settings, 10_000), progress_bar.ProgressBar(settings, lambda: 0.0)
    step, figures = first_step, {"d_loss": 1.0, "g_loss": 1.0}
    bar.set_model(SimpleNamespace(step=step, last_figures=figures))
    bar.on_train_begin()
    while not told():
        end = min(step + settings.training.steps_per_call, schedule.next_boundary(step))
        clock.now += secs_of_call(step, end)
        step = bar.model.step = end
        bar.on_train_batch_end(step)
    return told()[0]


@pytest.mark.parametrize("first_step", [0, 5009])
@pytest.mark.parametrize("steps_per_call", [1, 8, 100])
def test_calls_that_compile_do_not_count_in_the_forecast(
    monkeypatch, told, steps_per_call, first_step
):
    """About as at 64 px: 0.15 s a step, and 2 s to compile each function that is new."""
    seen = set()

    def secs(first, end):
        kinds = kinds_of_steps(first, end, 16)
        new = len(kinds - seen)
        seen.update(kinds)
        return 0.15 * (end - first) + 2.0 * new

    overrides = [f"training.steps_per_call={steps_per_call}", "loss.penalty_every_steps=16"]
    line = forecast(monkeypatch, told, first_step, secs, *overrides)
    assert line.startswith("150 ms a step")
