"""What ranks say and hear, without processes; with them: `test_distribution`."""

import numpy as np
import pytest

from trainer.agreement import Agreement


def _call(ranks):
    """What the step's collective does."""
    total = sum(agreement.said for agreement in ranks)
    for agreement in ranks:
        agreement.hear(total)


def test_alone_it_is_heard_at_once():
    alone = Agreement()
    alone.say("stop")
    alone.say_of_rank("busy_secs", 0.5)
    assert alone.heard("stop") == 1
    assert alone.heard_by_rank("busy_secs") == [0.5]
    alone.say("stop", 0.0)
    assert alone.heard("stop") == 0


def test_with_others_it_is_heard_after_a_call_and_by_all_alike():
    ranks = [Agreement(rank, 3) for rank in range(3)]
    ranks[1].say("stop")
    ranks[2].say("stop")
    ranks[2].say("flushed", 7)
    ranks[2].say_of_rank("heir", 1)
    assert [r.heard("stop") for r in ranks] == [0, 0, 0]
    _call(ranks)
    assert [r.heard("stop") for r in ranks] == [2, 2, 2]
    assert [r.heard("flushed") for r in ranks] == [7, 7, 7]
    assert [r.heard_by_rank("heir") for r in ranks] == [[0, 0, 1]] * 3
    assert [r.heard_by_rank("busy_secs") for r in ranks] == [[0, 0, 0]] * 3


def test_what_was_said_stays_said_until_it_is_taken_back():
    ranks = [Agreement(rank, 2) for rank in range(2)]
    ranks[0].say("report")
    for _ in range(2):
        _call(ranks)
        assert ranks[1].heard("report") == 1
    ranks[0].say("report", 0.0)
    assert ranks[1].heard("report") == 1
    _call(ranks)
    assert ranks[1].heard("report") == 0


def test_what_goes_into_a_call_does_not_change_under_it():
    agreement = Agreement(0, 2)
    before = agreement.said
    agreement.say("stop")
    np.testing.assert_array_equal(before, 0)


@pytest.mark.parametrize("name", ["halt", "busy_secs"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="stop, checkpoint, report, flushed"):
        Agreement().say(name)
    with pytest.raises(ValueError, match="busy_secs, heir"):
        Agreement().say_of_rank("stop", 1)
