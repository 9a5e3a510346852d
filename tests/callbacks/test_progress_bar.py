"""What is told while it trains."""

import io
import logging

import pytest
from rich.console import Console

from tests.callbacks import tiny_run
from trainer import console
from trainer.callbacks import progress_bar


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
