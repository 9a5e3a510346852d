"""A worker's line to the driver: when its watchdog ends a process, and when it waits on.

The mailbox is an ordinary object here, and nobody is killed.
"""

import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.launch.processes import wait_until
from trainer.launch import check_in
from trainer.launch.check_in import CheckIn
from trainer.launch.coordinator import Coordinator, Failure
from trainer.launch.moved import Moved
from trainer.launch.stack_place import Place
from trainer.launch.stages import Stages

HANG_SECS = 0.3
# What storage may take here, and all that a finished worker may.
STORAGE_SECS, LAST_WORK_SECS = 1.0, 1.5
STEP = Place("in a step, perhaps waiting for another worker", True, "")
CALLBACK = Place("in a callback", False, "")
STORE = Place("in checkpoint/writer.py", False, "", stores=True)


class Handle:
    """The mailbox as an actor's handle: `handle.method.remote(...)`."""

    def __init__(self, mailbox: Coordinator) -> None:
        self._mailbox = mailbox

    def __getattr__(self, name: str) -> Any:
        return types.SimpleNamespace(remote=getattr(self._mailbox, name))


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    monkeypatch.setattr(check_in.ray, "get", lambda answer, timeout: answer)
    monkeypatch.setattr(check_in, "CHECK_IN_SECS", 0.05)
    monkeypatch.setattr(check_in, "_COURTESY_SECS", 0.1)
    monkeypatch.setattr(check_in, "_LAST_WORK_SECS", LAST_WORK_SECS)
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", str(STORAGE_SECS))
    made = Coordinator()
    made.begin_attempt(1)
    return made


@pytest.fixture
def line(mailbox, monkeypatch) -> Iterator[Callable[..., CheckIn]]:
    """Starts the line of a rank whose training thread stands in a place; `killed` is set for it."""
    places: dict[int, Place] = {}
    monkeypatch.setattr(check_in, "place_of", lambda thread, stacks: places[thread])
    made: list[CheckIn] = []

    def start(rank: int, place: Place) -> CheckIn:
        places[rank] = place
        line = CheckIn(
            Handle(mailbox), 1, rank, hang_timeout_secs=HANG_SECS, start_timeout_secs=HANG_SECS
        )
        line._trainer = rank
        line.__enter__()
        made.append(line)
        return line

    monkeypatch.setattr(check_in.os, "kill", lambda pid, number: made[0]._over.set())
    yield start
    for line in made:
        line.__exit__()


def failures(mailbox: Coordinator) -> list[Failure]:
    return mailbox.news().failures


def test_a_worker_that_stands_still_says_so_and_ends_its_process(mailbox, line):
    stuck = line(1, CALLBACK)
    stuck.moved(7)
    wait_until(lambda: failures(mailbox), secs=10)
    told = failures(mailbox)[0]
    assert told.kind == "Hang"
    assert "after step 7, in a callback" in told.what
    assert told.expected == f"a step within cluster.hang_timeout_secs={HANG_SECS:g}"


def test_what_follows_the_last_step_may_take_longer_but_not_for_ever(mailbox, line):
    """Uploads, a measurement, and the others' wait for them."""
    worker = line(0, CALLBACK)
    worker.moved(7)
    Moved(worker, Stages(0.0, 0.0)).end(7)
    began = time.monotonic()
    wait_until(lambda: failures(mailbox), secs=10)
    assert time.monotonic() - began > HANG_SECS + STORAGE_SECS + LAST_WORK_SECS - 0.1
    assert "its end within" in failures(mailbox)[0].expected


def test_a_checkpoint_that_waits_its_turn_is_no_hang_on_any_rank(mailbox, line):
    for rank, place in ((0, STORE), (1, STEP)):
        line(rank, place).moved(7)
    time.sleep(HANG_SECS + 0.6 * STORAGE_SECS)
    assert failures(mailbox) == []
    wait_until(lambda: failures(mailbox), secs=10)
    assert failures(mailbox)[0].kind == "Hang", "who waits for another lets that one speak first"


def test_who_waits_for_one_that_is_stuck_is_ended_after_it(mailbox, line):
    line(1, STEP).moved(7)
    wait_until(lambda: failures(mailbox), secs=10)
    assert failures(mailbox)[0].kind == "Waiting"
