"""Where a stuck thread stands, in words; with the stacks of real threads."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
import tensorflow as tf

from tests.launch.processes import wait_until
from trainer.callbacks.base import StepCallback
from trainer.launch.stack_place import all_stacks, place_of


class Threads:
    """Threads that stand where they are told to, until the end of the test."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._started: list[threading.Thread] = []

    def start(self, target: Callable[[], object]) -> int:
        """Starts one; how it ends when it is let go is nobody's concern."""

        def run() -> None:
            with contextlib.suppress(Exception):
                target()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._started.append(thread)
        return thread.ident or 0

    def close(self) -> None:
        self.over.set()
        for thread in self._started:
            thread.join(30)


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.close()


def settled(thread: int, function: str) -> None:
    """Waits until a frame of the thread is in the function."""

    def there() -> bool:
        frame = all_stacks().get(thread)
        while frame is not None and frame.f_code.co_name != function:
            frame = frame.f_back
        return frame is not None

    wait_until(there, secs=30)
    time.sleep(0.1)


def only(thread: int) -> dict[int, FrameType]:
    """Its stack without those of readers that tests before this one have left behind."""
    return {thread: all_stacks()[thread]}


def test_in_a_callback_of_the_user(threads):
    class Stuck(StepCallback):
        def after_call(self, step, logs):
            threads.over.wait()

    callback = Stuck()
    callback.set_model(type("Model", (), {"step": 5})())
    thread = threads.start(lambda: callback.on_train_batch_end(0))
    settled(thread, "after_call")
    place = place_of(thread, all_stacks())
    assert place.words.startswith("in threading.py:")
    assert ", called from callbacks/base.py:" in place.words
    assert place.words.endswith("(on_train_batch_end)")
    assert not place.waits
    assert "threads.over.wait()" in place.trace


def test_waiting_for_data(threads, tmp_path):
    stalled = tmp_path / "stalled.tfrecord"
    os.mkfifo(stalled)
    batches = iter(tf.data.TFRecordDataset(str(stalled)))
    thread = threads.start(lambda: next(batches, None))
    settled(thread, "_next_internal")
    place = place_of(thread, only(thread))
    with stalled.open("wb"):
        pass
    assert place.words == "waiting for data"
    assert not place.waits


def step(threads: Threads) -> Callable[[], object]:
    """A step that stands still in native code, as one does that waits for another worker."""
    waits = tf.function(lambda: tf.py_function(lambda: threads.over.wait() and 0.0, [], tf.float32))
    waits.get_concrete_function()
    return waits


def test_in_a_step(threads):
    thread = threads.start(step(threads))
    settled(thread, "quick_execute")
    place = place_of(thread, only(thread))
    assert place.words == "in a step, perhaps waiting for another worker"
    assert place.waits


def test_in_a_step_that_waits_for_data_inside(threads, tmp_path):
    """Whoever reads shards stands in a thread of its own."""
    from trainer import storage
    from trainer.data.shards import checked_manifest

    os.mkfifo(tmp_path / "manifest.json")
    folder = storage.open_folder(str(tmp_path))
    thread = threads.start(step(threads))
    reader = threads.start(lambda: checked_manifest(folder))
    settled(thread, "quick_execute")
    settled(reader, "checked_manifest")
    place = place_of(thread, all_stacks())
    with (tmp_path / "manifest.json").open("wb"):
        pass
    assert place.words.startswith("waiting for data (in ")
    assert not place.waits


def test_a_thread_that_is_gone():
    place = place_of(-1, all_stacks())
    assert (place.words, place.waits) == ("its training thread has ended", False)


def test_a_checkpoint_that_waits_for_the_one_before(threads, tmp_path):
    from tests.checkpoint.conftest import begin, meta_of, state_of
    from trainer import checkpoint, storage
    from trainer.run_folder import RunFolder

    run = RunFolder(storage.open_folder(str(tmp_path / "run")))
    held = lambda step: threads.over.wait()  # noqa: E731
    store = checkpoint.CheckpointStore(run, begin(run).start, before_publish=held)

    def save() -> None:
        with store:
            for step in (10, 20):
                store.save(step, state_of(step), meta_of(step))

    thread = threads.start(save)
    settled(thread, "_settle")
    place = place_of(thread, all_stacks())
    assert place.stores
    assert not place.waits


def test_in_a_report_that_waits_for_the_other_ranks(threads, monkeypatch):
    import ray.train

    from trainer.launch import pointer

    monkeypatch.setattr(ray.train, "report", lambda *told, **named: threads.over.wait())
    thread = threads.start(lambda: pointer.report(None, None, {}, writer=False))
    settled(thread, "report")
    place = place_of(thread, all_stacks())
    assert place.waits
    assert "called from launch/pointer.py:" in place.words


COLLECTED_MEANWHILE = """
import gc, threading
from trainer.launch.stack_place import all_stacks

class Knot:
    def __init__(self):
        self.knot, self.local = self, threading.local()
        self.local.value = 1

over = threading.Event()
for _ in range(10):
    threads = [threading.Thread(target=over.wait, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    gc.disable()
    for _ in range(50):
        Knot()
    # Due between the frames of the first and of the last thread.
    gc.set_threshold(gc.get_count()[0] + 8)
    gc.enable()
    assert {thread.ident for thread in threads} <= set(all_stacks())
    gc.set_threshold(700)
    assert gc.isenabled()
"""


def test_a_collection_that_falls_due_meanwhile_stops_nobody():
    """In a process of its own, since the whole of it would stand still (Python 3.11)."""
    done = subprocess.run([sys.executable, "-c", COLLECTED_MEANWHILE], timeout=120, check=False)
    assert done.returncode == 0
