"""What a listing makes of the work that was done before it."""

import pytest

from trainer.data.convert import Outcome
from trainer.data.items import Item
from trainer.data.ledger import KEPT, Ledger

PICTURE = Item("a.jpg", ("file", "/a.jpg"), 3, "picture")
OTHER = Item("b.jpg", ("file", "/b.jpg"), 3, "picture")


def landmarks(stamp):
    return Item("a.jpg.cat", ("file", "/a.jpg.cat"), 9, stamp)


def listed(folder, *items, whole=True):
    """Lists a source; returns the open ledger."""
    ledger = Ledger(folder, "the same")
    ledger.begin_listing()
    for item in items:
        ledger.add(item, excluded=False)
    if whole:
        ledger.end_listing()
    return ledger


@pytest.fixture
def done(tmp_path):
    """The folder of a ledger whose two pictures are converted."""
    ledger = listed(tmp_path, PICTURE, OTHER, landmarks("1"))
    for task in list(ledger.todo()):
        ledger.finish(Outcome(task.number, b"record"))
    assert ledger.count(KEPT) == 2
    ledger.close()
    return tmp_path


def todo(ledger):
    return {task.name: task.landmarks for task in ledger.todo()}


def test_unchanged_nothing_is_to_do(done):
    assert todo(listed(done, landmarks("1"), OTHER, PICTURE)) == {}


@pytest.mark.parametrize("first", [True, False])
def test_other_landmarks_make_their_picture_to_do(done, first):
    items = [landmarks("2"), PICTURE] if first else [PICTURE, landmarks("2")]
    ledger = listed(done, OTHER, *items)
    assert todo(ledger) == {"a.jpg": ("file", "/a.jpg.cat")}
    assert ledger.count(KEPT) == 1


def test_landmarks_that_went_are_used_no_more(done):
    ledger = listed(done, PICTURE, OTHER)
    assert todo(ledger) == {"a.jpg": None}
    assert ledger.database.execute("SELECT * FROM landmarks").fetchall() == []


def test_landmarks_that_came_are_used(done):
    listed(done, PICTURE, OTHER).close()
    ledger = Ledger(done, "the same")
    for task in list(ledger.todo()):
        ledger.finish(Outcome(task.number, b"record"))
    ledger.close()
    assert todo(listed(done, PICTURE, OTHER, landmarks("1"))) == {"a.jpg": ("file", "/a.jpg.cat")}


def test_a_change_seen_by_a_listing_that_was_cut_off_is_not_forgotten(done):
    listed(done, landmarks("2"), PICTURE, whole=False).close()
    assert list(todo(listed(done, PICTURE, OTHER, landmarks("2")))) == ["a.jpg"]
