"""Stretches of training."""

import pytest

from tests.callbacks import tiny_run
from trainer.callbacks.pace import Pace, Stretch, TrainingClock, kinds_of_steps
from trainer.gan.build import build_gan


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


@pytest.mark.parametrize("every", [0, 1, 4])
def test_the_kinds_of_steps_are_those_that_the_model_runs(tmp_path, every):
    loss = f"loss.penalty_every_steps={every}" if every else "loss={r1_weight: 0, r2_weight: 0}"
    gan = build_gan(tiny_run.tiny_config(tmp_path, "dataset.lanes=4", loss))
    runner, ran = gan.runner(), set()

    def noting(kind):
        return lambda *arguments: ran.add(kind) or {}

    for due in (False, True):
        runner._one[due] = noting((due, False))
        runner._many[due] = noting((due, True))
    for first in range(9):
        for count in range(1, 10):
            ran.clear()
            runner.run(iter(range(count)), first, count)
            assert kinds_of_steps(first, first + count, every) == ran, (first, count)
