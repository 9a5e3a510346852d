"""Stretches of training."""

from trainer.callbacks.pace import Pace, Stretch, TrainingClock


def test_nothing_is_measured_before_the_first_mark():
    pace = Pace(lambda: 5.0)
    assert not pace.marked
    assert pace.since_mark(10) == Stretch(0, 0.0, 0.0)
    assert pace.since_mark(10).steps_per_sec == 0.0


def test_steps_and_waiting_count_from_the_mark():
    waited = 100.0
    pace = Pace(lambda: waited)
    pace.mark(10)
    stretch = pace.since_mark(14)
    assert stretch.steps == 4
    assert stretch.wait_share == 0.0
    waited = 10_000.0  # more than time went by: other threads waited too
    assert pace.since_mark(14).wait_share == 1.0


def test_the_clock_counts_over_all_starts():
    clock = TrainingClock(secs_before=1000.0)
    assert clock.secs >= 1000.0
    assert 0 <= clock.secs_this_start < 1000.0
