"""What is due when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import config
from trainer.callbacks.cadence import Cadence, Due, Schedule
from trainer.progress import Interval


def test_early_grids_at_powers_of_two_and_every_interval():
    cadence = Cadence(every_steps=6, early=True)
    assert [s for s in range(20) if cadence.due(s)] == [0, 1, 2, 4, 6, 8, 12, 16, 18]


def test_never_is_never():
    cadence = Cadence(0)
    assert not any(cadence.due(step) for step in range(100))
    assert cadence.next_after(3) is None


@given(
    every=st.integers(0, 50), early=st.booleans(), step=st.integers(0, 3000), total=st.just(4000)
)
def test_the_next_boundary_is_the_first_due_step(every, early, step, total):
    cadence, never = Cadence(every, early=early), Cadence(0)
    schedule = Schedule(total, cadence, never, never)
    boundary = schedule.next_boundary(step)
    expected = next((s for s in range(step + 1, total) if cadence.due(s)), total)
    assert boundary == expected


@pytest.mark.parametrize(
    ("text", "steps", "secs"), [("500", 500, 0), ("5 epochs", 125, 0), ("10 mins", 0, 600)]
)
def test_intervals_as_people_write_them(text, steps, secs):
    cadence = Cadence.of(Interval.parse(text), global_batch=4, train_count=100)
    assert (cadence.every_steps, cadence.every_secs) == (steps, secs)


def test_a_config_gives_the_schedule():
    settings = config.from_text(
        "dataset: {address: x}\ncheckpoint: {every_steps: 1 epochs}\nsamples: {every_steps: 70}"
        "\nmetrics: {every_steps: 2 mins}\ntraining: {steps: 1000, global_batch: 10}"
    )
    schedule = Schedule.of(settings, train_count=1000)
    assert schedule.next_boundary(64) == 70
    assert schedule.next_boundary(70) == 100
    assert schedule.next_boundary(998) == 1000
    assert schedule.metrics.every_secs == 120


def test_minutes_go_by_the_clock_and_once_each():
    due = Due(Cadence(0, every_secs=60), total_steps=100, last_secs=0)
    asked = [(1, 10.0), (2, 61.0), (3, 62.0), (4, 121.0), (5, 125.0)]
    assert [due.now(step, secs) for step, secs in asked] == [False, True, False, True, False]


def test_the_last_step_is_due_once_whatever_the_interval():
    due = Due(Cadence(30), total_steps=100, last_secs=0)
    assert [due.now(step, 0) for step in (30, 30, 99, 100, 100)] == [
        True,
        False,
        False,
        True,
        False,
    ]
