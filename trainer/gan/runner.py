"""Runs steps for `fit`: one by one, or several for one call from Python.

Owns which steps go into one traced function, what goes into a call besides
pictures (what this rank says to the others) and what comes out of it besides
figures (what all said, how long this rank waited). Does not own the step.
"""

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.agreement import Agreement
from trainer.distribution import WAITED, Distribution
from trainer.progress import stretches

Logs = dict[str, tf.Tensor]

# The log that carries the agreement's vector: what one rank says, then what all said.
SAID = "said"


class StepRunner:
    """Runs steps and keeps the ranks' agreement going.

    Whether a step has a penalty is decided here, by the host: a collective
    inside a branch cannot be traced. A call of many steps is cut where a
    penalty begins or ends to be due.

    Args:
        distribution: Where to run.
        train_step: `(data, with_penalty) -> logs` with data `(images, step)`, and with several
            workers `(images, step, said)`; their logs have the sum of `said` under `SAID`.
        agreement: Told what all ranks said, and this rank's `busy_secs`.
        penalty_every_steps: A penalty is due on steps divisible by this; 0: never.
        jit: Compile the whole step with XLA (one process only).
        eager: Run without tracing, for debugging.
    """

    def __init__(
        self,
        distribution: Distribution,
        train_step: Callable[..., Logs],
        agreement: Agreement,
        *,
        penalty_every_steps: int,
        jit: bool,
        eager: bool,
    ) -> None:
        self._penalty_every_steps = penalty_every_steps
        self._agreement = agreement
        self._several = distribution.world_size > 1
        self._busy = _BusyTime(distribution.times_waits)
        self._one, self._many = {}, {}
        for due in (False, True):
            step = _on_replica(distribution, train_step, due)
            self._one[due] = step if eager else tf.function(step, jit_compile=jit)
            many = _loop(self._one[due])
            self._many[due] = many if eager else tf.function(many)

    def penalty_due(self, step: int) -> bool:
        """Says whether the step that follows `step` finished steps has a penalty."""
        return next(stretches(step, step + 1, self._penalty_every_steps))[1]

    def run(self, iterator: Any, step: int, count: int) -> Logs:
        """Runs `count` steps, `step` being finished, and returns the figures of the last."""
        said, waits = self._said(), []
        self._busy.begin()
        for alike, due in stretches(step, step + count, self._penalty_every_steps):
            first = tf.constant(step, tf.int64)
            if alike == 1:
                logs = self._one[due](self._busy.fetched(iterator), first, *said)
            else:
                logs = self._many[due](iterator, first, tf.constant(alike, tf.int64), *said)
            waits += [logs.pop(name) for name in list(logs) if name.startswith(WAITED)]
            heard = logs.pop(SAID, None)
            step += alike
        if heard is not None:
            self._agreement.hear(heard.numpy())
        self._agreement.say_of_rank("busy_secs", self._busy.end(waits))
        return logs

    def _said(self) -> tuple[tf.Tensor, ...]:
        if not self._several:
            return ()
        with tf.device("CPU:0"):
            return (tf.constant(self._agreement.said),)


class _BusyTime:
    """Seconds from the end of one call to the end of the next in which nobody was waited for.

    Where waits are not timed (`Distribution.times_waits`) only the host's share is told: the
    time between calls, and for pictures. Synchronised batch norm, and a loss with means over the
    global batch, wait where no clock is read, and make a slow rank and those that wait for it
    look alike.
    """

    def __init__(self, waits_are_timed: bool) -> None:
        self._waits_are_timed = waits_are_timed
        self._ended: float | None = None
        self._between = 0.0

    def begin(self) -> None:
        self._began = time.perf_counter()
        self._between = 0.0 if self._ended is None else self._began - self._ended
        self._fetching = 0.0

    def fetched(self, iterator: Any) -> tf.Tensor:
        began = time.perf_counter()
        images = next(iterator)
        self._fetching += time.perf_counter() - began
        return images

    def end(self, waits: list[tf.Tensor]) -> float:
        self._ended = time.perf_counter()
        if not self._waits_are_timed:
            return self._between + self._fetching
        waited = sum(float(secs) for secs in waits)
        return max(0.0, self._between + self._ended - self._began - waited)


def _on_replica(distribution: Distribution, train_step: Callable, due: bool) -> Callable:
    @tf.autograph.experimental.do_not_convert
    def one_step(*data: tf.Tensor) -> Logs:
        logs = distribution.run(lambda *d: train_step(d, with_penalty=due), *data)
        return logs | {SAID: _on_host(logs[SAID])} if SAID in logs else logs

    return one_step


def _loop(one_step: Callable) -> Callable:
    # Not written as a `for` that TensorFlow converts: that puts a file into the temporary folder,
    # which a process that is killed leaves there.
    @tf.autograph.experimental.do_not_convert
    def many_steps(iterator, first, count, *said):
        def another(offset: tf.Tensor, logs: Logs) -> tuple[tf.Tensor, Logs]:
            more = one_step(iterator.get_next(), first + offset, *said)
            summed = {n: logs[n] + more[n] for n in logs if n.startswith(WAITED)}
            return offset + 1, more | summed

        begun = tf.constant(1, tf.int64), one_step(iterator.get_next(), first, *said)
        _, logs = tf.while_loop(lambda offset, logs: offset < count, another, begun)
        return logs | {SAID: _on_host(logs[SAID])} if SAID in logs else logs

    return many_steps


def _on_host(heard: tf.Tensor) -> tf.Tensor:
    """Copies to the host inside the graph: asking for it afterwards would wait for the device."""
    with tf.device("CPU:0"):
        return tf.identity(heard)
