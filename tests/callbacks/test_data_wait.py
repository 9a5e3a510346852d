"""Waiting for data is measured where it happens."""

import threading
import time

import pytest
import tensorflow as tf

from trainer.callbacks.data_wait import DataWait


class Slow:
    """A stream whose first element comes 0.3 s after somebody asks for it."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def dataset(self) -> tf.data.Dataset:
        spec = tf.TensorSpec((), tf.int64)
        return tf.data.Dataset.from_generator(self._produce, output_signature=spec)

    def _produce(self):
        self.asked.set()
        time.sleep(0.3)
        yield from range(5)


def test_the_elements_are_the_same_in_the_same_order():
    dataset = tf.data.Dataset.range(100).batch(7, drop_remainder=True).prefetch(2)
    plain = [batch.numpy().tolist() for batch in dataset]
    assert [batch.numpy().tolist() for batch in DataWait().measured(dataset)] == plain
    assert DataWait().measured(dataset).element_spec == dataset.element_spec


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_wait_of_the_one_who_asks_counts(deterministic):
    wait = DataWait(deterministic)
    iterator = iter(wait.measured(Slow().dataset()))
    assert wait.secs() == 0
    next(iterator)
    assert 0.29 <= wait.secs() < 60


def test_what_is_made_ready_before_anybody_asks_does_not_count():
    wait, slow = DataWait(), Slow()
    # Held by its iterator: without one nothing would be made ready.
    iterator = iter(wait.measured(slow.dataset().prefetch(2)))
    assert iterator is not None
    time.sleep(0.4)
    assert wait.secs() == 0


def test_inside_a_graph_too():
    wait = DataWait()
    iterator = iter(wait.measured(Slow().dataset()))

    @tf.function
    def several(source):
        total = tf.constant(0, tf.int64)
        for _ in tf.range(3):
            total += next(source)
        return total

    assert int(several(iterator)) == 0 + 1 + 2
    assert wait.secs() >= 0.29
