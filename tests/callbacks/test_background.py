"""Work behind the training."""

import threading

import pytest

from trainer.callbacks.background import Background


def test_jobs_run_in_order_and_close_waits():
    done = []
    behind = Background("test")
    for number in range(10):
        behind.submit(lambda number=number: done.append(number))
    behind.close()
    assert done == list(range(10))


def test_a_full_queue_makes_the_caller_wait_its_turn():
    behind = Background("test", max_waiting=2)
    gate, third = threading.Event(), threading.Event()
    behind.submit(gate.wait)
    behind.submit(lambda: None)
    caller = threading.Thread(target=lambda: behind.submit(third.set))
    caller.start()
    assert behind.busy
    assert not third.is_set()
    gate.set()
    caller.join(10)
    behind.close()
    assert third.is_set()


def test_an_error_comes_back_once_and_later_jobs_still_run():
    behind, done = Background("test"), []
    behind.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        behind.wait()
    behind.submit(lambda: done.append(1))
    behind.close()
    assert done == [1]


def test_close_raises_what_went_wrong_and_ends_the_thread():
    behind = Background("ends-here")
    behind.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        behind.close()
    assert not any(thread.name.startswith("ends-here") for thread in threading.enumerate())
