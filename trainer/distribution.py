"""Everything that touches `tf.distribute`: scope, run, the one reduce, the update.

Owns how a step is spread over replicas and how their results become one.
Does not own what a step computes (`trainer.gan`).

Two faults of Keras 3.15 shape this module. `Model.fit` reduces a step's logs
in a way that `MultiWorkerMirroredStrategy` refuses, so the step is run here
and `fit` sees a plain function. Keras' optimizers sum gradients inside
`apply`, after clipping and after their test for finite values, so that
replicas can come to different decisions; here gradients are summed once,
before anything looks at them, and `ReplicaAdam` applies them without asking
the other replicas again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


class Distribution:
    """One replica a process, alone or as one of several workers.

    Args:
        strategy: A `tf.distribute.MultiWorkerMirroredStrategy`, or None for one process alone.

    Attributes:
        rank: Number of this process, 0 to `world_size` - 1.
        world_size: Processes that train together.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self.strategy = strategy
        resolver = strategy.cluster_resolver if strategy is not None else None
        self.rank = resolver.task_id if resolver is not None else 0
        self.world_size = strategy.num_replicas_in_sync if strategy is not None else 1

    def scope(self):
        """Returns the context in which networks and optimizers are built."""
        return self.strategy.scope() if self.strategy else tf.distribute.get_strategy().scope()

    def run(self, step: Callable, *args: Any) -> Any:
        """Runs `step` on this process's replica and returns its own results."""
        if self.strategy is None:
            return step(*args)
        results = self.strategy.run(step, args=args)
        return tf.nest.map_structure(
            lambda value: self.strategy.experimental_local_results(value)[0], results
        )

    def sum_over_replicas(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Sums each tensor over all replicas, all of them in one collective call."""
        if self.strategy is None:
            return list(tensors)
        context = tf.distribute.get_replica_context()
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors)))

    def sum_with_logs(
        self, gradients: Sequence[tf.Tensor], logs: dict[str, tf.Tensor]
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """Sums a network's gradients and a step's figures in the same collective call."""
        if self.strategy is None:
            return list(gradients), logs
        stacked = tf.cast(tf.stack(list(logs.values())), gradients[0].dtype)
        *summed, figures = self.sum_over_replicas([*gradients, stacked])
        return summed, dict(zip(logs, tf.unstack(figures), strict=True))

    def local(self, variable: keras.Variable) -> tf.Variable:
        """Returns this process's copy of a mirrored variable, which may be assigned freely."""
        value = variable.value
        if self.strategy is None:
            return value
        return self.strategy.experimental_local_results(value)[0]


class ReplicaAdam(keras.optimizers.Adam):
    """Adam that applies gradients which are already summed over replicas.

    Every replica applies the same gradients to its own copy, by TensorFlow's
    fused kernel: one operation for each variable instead of about fifteen.

    The update is that of Kingma and Ba (2015), algorithm 1 in the form of
    their section 2, with the root's bias correction folded into the rate.
    """

    def __init__(self, distribution: Distribution, **settings: Any) -> None:
        super().__init__(**settings)
        self._distribution = distribution
        self._finite: tf.Tensor | None = None

    def apply_where(self, finite: tf.Tensor, gradients: Sequence[tf.Tensor]) -> None:
        """Applies the gradients, or changes nothing at all where `finite` is false.

        Without a branch, because collectives must not stand inside one: with
        both decays at 1 and a rate of 0 the update is the identity.

        Args:
            finite: Boolean scalar, the same on every replica.
            gradients: One for each variable the optimizer was built with.
        """
        self._finite = finite
        try:
            zeroed = [tf.where(finite, g, tf.zeros_like(g)) for g in gradients]
            self.apply(zeroed)
            self.iterations.assign_sub(tf.cast(~finite, self.iterations.dtype))
        finally:
            self._finite = None

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        step = self.iterations.value + 1
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self._update(gradient, variable, learning_rate, step)

    def _update(self, gradient, variable, learning_rate, step) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        rate = tf.cast(learning_rate, dtype)
        # tf.cast would take a Python number through float32.
        beta_1, beta_2, one = (tf.constant(b, dtype) for b in (self.beta_1, self.beta_2, 1.0))
        power = tf.cast(step, dtype)
        powers = tf.pow(beta_1, power), tf.pow(beta_2, power)
        if self._finite is not None:
            rate = tf.where(self._finite, rate, tf.zeros_like(rate))
            beta_1, beta_2 = (tf.where(self._finite, b, one) for b in (beta_1, beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=self._distribution.local(variable).handle,
            m=self._distribution.local(self._momentums[index]).handle,
            v=self._distribution.local(self._velocities[index]).handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
            use_locking=True,
            use_nesterov=False,
        )


class StepRunner:
    """Runs steps for `fit`: one by one, or several for one call from Python.

    Whether a step has a penalty is decided here, by the host: a collective
    inside a branch cannot be traced. A call of many steps is cut where a
    penalty begins or ends to be due.

    Args:
        distribution: Where to run.
        train_step: `(data, with_penalty) -> logs` with data `(images, step)`.
        penalty_every_steps: A penalty is due on steps divisible by this; 0: never.
        jit: Compile the step with XLA (one process only).
        eager: Run without tracing, for debugging.
    """

    def __init__(
        self,
        distribution: Distribution,
        train_step: Callable[..., dict[str, tf.Tensor]],
        *,
        penalty_every_steps: int,
        jit: bool,
        eager: bool,
    ) -> None:
        self._penalty_every_steps = penalty_every_steps
        self._one, self._many = {}, {}
        for due in (False, True):
            step = _on_replica(distribution, train_step, due)
            self._one[due] = step if eager else tf.function(step, jit_compile=jit)
            many = _loop(self._one[due])
            self._many[due] = many if eager else tf.function(many)

    def penalty_due(self, step: int) -> bool:
        """Says whether the step that follows `step` finished steps has a penalty."""
        return bool(self._penalty_every_steps) and step % self._penalty_every_steps == 0

    def run(self, iterator: Any, step: int, count: int) -> dict[str, tf.Tensor]:
        """Runs `count` steps, `step` being finished, and returns the logs of the last."""
        end = step + count
        while step < end:
            due = self.penalty_due(step)
            alike = self._steps_alike(step, end)
            if alike == 1:
                logs = self._one[due](next(iterator), tf.constant(step, tf.int64))
            else:
                logs = self._many[due](
                    iterator, tf.constant(step, tf.int64), tf.constant(alike, tf.int64)
                )
            step += alike
        return logs

    def _steps_alike(self, step: int, end: int) -> int:
        every = self._penalty_every_steps
        if every in (0, 1):
            return end - step
        return 1 if step % every == 0 else min(end - step, every - step % every)


def _on_replica(distribution: Distribution, train_step: Callable, due: bool) -> Callable:
    @tf.autograph.experimental.do_not_convert
    def one_step(images: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        return distribution.run(lambda i, s: train_step((i, s), with_penalty=due), images, step)

    return one_step


def _loop(one_step: Callable) -> Callable:
    def many_steps(iterator, first, count):
        logs = one_step(next(iterator), first)
        for offset in tf.range(1, count):
            logs = one_step(next(iterator), first + offset)
        return logs

    return many_steps


def adam(distribution: Distribution, settings: Any, name: str) -> ReplicaAdam:
    """Builds one network's optimizer from its section of the config."""
    return ReplicaAdam(
        distribution,
        learning_rate=settings.rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        name=name,
    )
