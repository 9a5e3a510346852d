"""Waiting for data is measured where it happens."""

import threading

import numpy as np
import tensorflow as tf

from trainer.callbacks.data_wait import DataWait


def gated(gate: threading.Event, count: int = 5) -> tf.data.Dataset:
    """A stream whose every element waits until the gate is open."""

    def produce():
        for number in range(count):
            gate.wait(30)
            yield number

    return tf.data.Dataset.from_generator(produce, output_signature=tf.TensorSpec((), tf.int64))


def test_the_elements_are_the_same_in_the_same_order():
    dataset = tf.data.Dataset.range(100).batch(7, drop_remainder=True).prefetch(2)
    plain = [batch.numpy().tolist() for batch in dataset]
    assert [batch.numpy().tolist() for batch in DataWait().measured(dataset)] == plain
    assert DataWait().measured(dataset).element_spec == dataset.element_spec


def test_only_the_wait_of_the_one_who_asks_counts():
    gate, wait = threading.Event(), DataWait()
    iterator = iter(wait.measured(gated(gate).prefetch(2)))
    assert wait.secs() == 0
    timer = threading.Timer(0.3, gate.set)
    timer.start()
    next(iterator)
    first = wait.secs()
    assert 0.2 < first < 30


def test_inside_a_graph_too():
    gate, wait = threading.Event(), DataWait()
    iterator = iter(wait.measured(gated(gate)))

    @tf.function
    def several(source):
        total = tf.constant(0, tf.int64)
        for _ in tf.range(3):
            total += next(source)
        return total

    threading.Timer(0.3, gate.set).start()
    assert np.asarray(several(iterator)) == 0 + 1 + 2
    assert wait.secs() > 0.2
