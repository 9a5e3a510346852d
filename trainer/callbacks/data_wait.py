"""How long training waits for its data.

Owns the measurement at the very end of the stream. Does not own the stream.

A step may take its batch inside a graph, out of Python's sight, so the time is
taken by the stream itself: a last stage notes when it was asked for a batch
and when it had one. While batches lie ready that is nearly nothing; where the
device is fed asynchronously it is an upper bound, because a device may still
be busy while its host waits.
"""

import time

import tensorflow as tf


class DataWait:
    """Sums the seconds between asking for a batch and having it.

    Args:
        deterministic: TensorFlow's determinism is on, which forbids its own clock
            in a graph; Python's is asked instead, a little slower.
    """

    def __init__(self, deterministic: bool = False) -> None:
        self._now = _python_clock if deterministic else tf.timestamp
        with tf.device("CPU:0"):
            self._waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    # Nothing here is Python control flow over tensors. Looking for it would also leave a file in
    # the temporary folder of every process that is killed.
    @tf.autograph.experimental.do_not_convert
    def measured(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same elements in the same order, the wait for each counted.

        Costs about 0.15 ms an element. Must be the last stage: what is
        prefetched behind it is not waited for.
        """
        asked = tf.data.Dataset.from_tensors(0).repeat()
        asked = asked.map(lambda _: self._now(), synchronous=True)

        def note(asked_at: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            self._waited.assign_add(self._now() - asked_at)
            return batch

        # `zip` asks its parts one after another: first for the time, then for the batch.
        timed = tf.data.Dataset.zip(asked, dataset).map(note, synchronous=True)
        options = tf.data.Options()
        # By default a prefetch is added at the end, which would ask before training does.
        options.experimental_optimization.inject_prefetch = False
        return timed.with_options(options)

    def secs(self) -> float:
        """Returns the seconds waited so far."""
        return float(self._waited.numpy())


def _python_clock() -> tf.Tensor:
    now = tf.numpy_function(time.time, [], tf.float64)
    return tf.ensure_shape(now, [])
