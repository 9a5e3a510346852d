"""The mailbox between a driver and its workers; an ordinary object, tried without Ray."""

import pytest

from trainer.errors import CatganError, DataError
from trainer.launch.coordinator import Beat, Beginning, Coordinator, Ended, Failure, Line


def beat(rank: int, step: int = 3) -> Beat:
    return Beat(rank, f"host-{rank}", 100 + rank, step, 0.5)


def failure(kind: str = "ValueError", *, own: bool = False) -> Failure:
    return Failure(1, "host-1", kind, "what", "expected", "remedy", own, "trace")


@pytest.fixture
def mailbox() -> Coordinator:
    made = Coordinator()
    made.begin_attempt(1)
    return made


def test_news_are_kept_and_log_lines_given_out_once(mailbox):
    line = Line(0, "host-0", 20, "a line")
    assert mailbox.check_in(1, beat(0), [line]) == ""
    mailbox.check_in(1, beat(1, step=7), [])
    mailbox.fail(1, failure())
    mailbox.end(1, Ended("stopped", 7, "asked"))
    for lines in ([line], []):
        news = mailbox.news()
        assert news.lines == lines
        assert news.beats == {0: beat(0), 1: beat(1, step=7)}
        assert news.furthest_step == 7
        assert news.failures == [failure()]
        assert news.ended == Ended("stopped", 7, "asked")
        assert set(news.silent_secs) == {0, 1}
        assert all(0 <= secs < 60 for secs in news.silent_secs.values())
    assert mailbox.hosts() == {0: "host-0", 1: "host-1"}


def test_nothing_has_come_yet(mailbox):
    assert mailbox.news().furthest_step == -1
    assert mailbox.news().ended is None
    assert mailbox.beginning(1) is None


def test_the_first_wish_to_stop_stands(mailbox):
    mailbox.ask_to_stop("the person wants it")
    mailbox.ask_to_stop("there is more room")
    assert mailbox.check_in(1, beat(0), []) == "the person wants it"
    assert mailbox.check_in(1, beat(1), []) == "the person wants it"


def test_a_workers_own_wish_is_told_to_all_of_its_attempt(mailbox):
    mailbox.wish(1, "my machine goes")
    assert mailbox.check_in(1, beat(0), []) == "my machine goes"
    mailbox.begin_attempt(2)
    mailbox.wish(1, "late")
    assert mailbox.check_in(2, beat(0), []) == ""


def test_what_comes_from_an_attempt_that_is_over_is_dropped(mailbox):
    mailbox.ask_to_stop("there is more room")
    mailbox.set_beginning(Beginning(1, 20))
    mailbox.check_in(1, beat(0), [Line(0, "host-0", 20, "old")])
    mailbox.begin_attempt(2)
    assert mailbox.check_in(1, beat(0), [Line(0, "host-0", 20, "late")]) == "this attempt is over"
    mailbox.fail(1, failure())
    mailbox.end(1, Ended("finished", 9, "done"))
    news = mailbox.news()
    assert (news.beats, news.lines, news.failures, news.ended) == ({}, [], [], None)
    assert news.silent_secs == {}
    assert mailbox.beginning(1) is None
    assert mailbox.beginning(2) is None
    assert mailbox.check_in(2, beat(0), []) == ""


def test_what_workers_go_on_from(mailbox):
    mailbox.set_beginning(Beginning(4, 60))
    assert mailbox.beginning(1) == Beginning(4, 60)
    assert mailbox.beginning(2) is None


def test_an_error_of_ours_keeps_its_class_and_gets_a_place():
    error = failure("DataError", own=True).error()
    assert type(error) is DataError
    assert error.what == "rank 1 on host-1: what"
    assert (error.expected, error.remedy) == ("expected", "remedy")


@pytest.mark.parametrize("kind", ["ValueError", "NoSuchClass"])
def test_other_errors_become_plain_ones(kind):
    assert type(failure(kind).error()) is CatganError
