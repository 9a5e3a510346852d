"""How many failures a command outlives, and which of them count as the same one."""

import pytest

from trainer.config.cluster import ClusterSettings
from trainer.errors import ClusterError
from trainer.launch.budget import Budget

CAUSE = "rank 1 on here died"


def budget(**limits: int) -> Budget:
    return Budget(ClusterSettings(**limits), "catgan resume RUN")


def test_failures_that_get_further_are_outlived_up_to_the_limit():
    counted = budget(max_failures=4)
    for step in (10, 20, 30, 40):
        counted.spend_failure(step, CAUSE)
    with pytest.raises(ClusterError) as caught:
        counted.spend_failure(50, CAUSE)
    assert caught.value.exit_code == 6
    assert f"5 failures, the last one because {CAUSE}" in caught.value.what
    assert caught.value.expected == "at most cluster.max_failures=4"
    assert "cluster.max_failures=10" in caught.value.remedy


def test_any_number_of_failures():
    counted = budget(max_failures=-1)
    for step in range(1000):
        counted.spend_failure(step, CAUSE)
    assert counted.failures == 1000


def test_none_is_outlived():
    with pytest.raises(ClusterError, match="1 failures"):
        budget(max_failures=0).spend_failure(10, CAUSE)


@pytest.mark.parametrize("steps", [(45, 45, 45), (-1, -1, -1), (50, 45, 45), (45, 44, 40)])
def test_the_same_step_again_and_again_ends_the_run(steps):
    counted = budget(max_same_step_failures=3, max_failures=-1)
    first, second, third = steps
    counted.spend_failure(first, CAUSE)
    counted.spend_failure(second, CAUSE)
    with pytest.raises(ClusterError) as caught:
        counted.spend_failure(third, CAUSE)
    assert "3 starts in a row" in caught.value.what
    assert caught.value.what.endswith(CAUSE)
    assert "catgan resume RUN" in caught.value.remedy


def test_who_gets_further_begins_to_count_anew():
    counted = budget(max_same_step_failures=2, max_failures=-1)
    for step in (10, 11, 12, 13):
        counted.spend_failure(step, CAUSE)
    with pytest.raises(ClusterError, match="2 starts in a row ended by step 13"):
        counted.spend_failure(12, CAUSE)


def test_steps_that_nobody_saw_are_no_progress():
    counted = budget(max_same_step_failures=3, max_failures=-1)
    counted.spend_failure(38, CAUSE, unseen_steps=9)
    counted.spend_failure(42, CAUSE, unseen_steps=9)
    with pytest.raises(ClusterError, match="3 starts in a row"):
        counted.spend_failure(45, CAUSE, unseen_steps=9)
    counted = budget(max_same_step_failures=3, max_failures=-1)
    for step in (38, 48, 58, 68):
        counted.spend_failure(step, CAUSE, unseen_steps=9)


def test_nodes_that_are_taken_back_are_counted_apart():
    counted = budget(max_failures=0, max_preemption_failures=2, max_same_step_failures=1)
    counted.spend_preemption("its node was taken back")
    counted.spend_preemption("its node was taken back")
    assert (counted.failures, counted.preemptions) == (0, 2)
    with pytest.raises(ClusterError, match="3 nodes were taken back") as caught:
        counted.spend_preemption("its node was taken back")
    assert "cluster.max_preemption_failures" in caught.value.expected


def test_by_default_any_number_of_nodes_may_be_taken_back():
    counted = budget()
    for _ in range(1000):
        counted.spend_preemption("its node was taken back")


def test_a_lost_port_is_forgiven_three_times():
    counted = budget()
    assert [counted.forgives_lost_port() for _ in range(5)] == [True, True, True, False, False]
    assert counted.failures == 0
