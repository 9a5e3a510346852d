"""A driver that asks for no news any more: its workers are told to stop."""

import math
import time

from trainer.launch.coordinator import Beat, Beginning, Coordinator


def beat() -> Beat:
    return Beat(0, "host", 1, 5, 0.0)


def mailbox(secs: float) -> Coordinator:
    made = Coordinator(secs)
    made.begin_attempt(1)
    return made


def test_a_frozen_driver_is_noticed_and_the_wish_stands():
    box = mailbox(0.05)
    box.set_beginning(Beginning(1, 0))
    assert box.check_in(1, beat(), []) == ""
    time.sleep(0.1)
    assert box.check_in(1, beat(), []) == "its driver gave no sign of life for 0 s"
    box.news()
    assert box.check_in(1, beat(), []) == "its driver gave no sign of life for 0 s"


def test_a_driver_that_reads_a_long_checkpoint_is_not_silent():
    box = mailbox(0.05)
    time.sleep(0.1)
    assert box.check_in(1, beat(), []) == ""


def test_one_that_asks_is_heard():
    box = mailbox(1000.0)
    box.set_beginning(Beginning(1, 0))
    box.news()
    assert box.check_in(1, beat(), []) == ""
    assert mailbox(math.inf).check_in(1, beat(), []) == ""
