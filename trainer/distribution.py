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

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

# Not offered otherwise.
from tensorflow.python.framework.config import is_op_determinism_enabled

from trainer.schedules import value_at

# Begins the name of a log that says how long a collective took, with what it summed for.
WAITED = "waited_secs/"


class Distribution:
    """One replica a process, alone or as one of several workers.

    Args:
        strategy: A `tf.distribute.MultiWorkerMirroredStrategy`, or None for one process alone.

        bytes_per_pack: Gradients go over the wire in parts of about so many bytes, each as soon
            as it is there; 0: all at once.

    Attributes:
        rank: Number of this process, 0 to `world_size` - 1.
        world_size: Processes that train together.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy | None = None, *, bytes_per_pack: int = 0
    ) -> None:
        self.strategy = strategy
        self._options = tf.distribute.experimental.CommunicationOptions(
            bytes_per_pack=bytes_per_pack
        )
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
        return list(
            context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors), options=self._options)
        )

    def sum_with_logs(
        self, gradients: Sequence[tf.Tensor], logs: dict[str, tf.Tensor], whose: str
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """Sums a network's gradients and a step's figures in the same collective call.

        Args:
            gradients: Floating point, all of one type; half precision is summed in float32.
            logs: Float tensors of known shapes, summed in no less than float32.
            whose: Optimizer that they are for.

        Returns:
            The summed gradients, in the sum's precision, and the summed logs, in their own. With
            `times_waits` the logs of several workers also have the seconds, float32, that this
            one waited for the sum: `WAITED + whose`.
        """
        if self.strategy is None:
            return list(gradients), logs
        wide = gradients[0].dtype if gradients[0].dtype.size > 2 else tf.float32
        flat = [tf.reshape(tf.cast(value, wide), [-1]) for value in logs.values()]
        payload = [tf.cast(gradient, wide) for gradient in gradients]
        payload += [tf.concat(flat, 0)] if flat else []
        ready = _secs_when(payload) if self.times_waits else None
        summed = self.sum_over_replicas(payload)
        waits = {}
        if ready is not None:
            waits[WAITED + whose] = tf.cast(_secs_when(summed) - ready, tf.float32)
        parts = tf.split(summed.pop(), [part.shape[0] for part in flat]) if flat else []
        sums = {
            name: tf.cast(tf.reshape(part, value.shape), value.dtype)
            for (name, value), part in zip(logs.items(), parts, strict=True)
        }
        return summed, sums | waits

    @functools.cached_property
    def times_waits(self) -> bool:
        """Whether a clock is read around collectives.

        On a GPU it would tell when work was queued, and where operations must be deterministic
        TensorFlow has no clock.
        """
        return not (tf.config.get_visible_devices("GPU") or is_op_determinism_enabled())

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
        self._rate: Any = None

    @contextlib.contextmanager
    def at_rate(self, rate: Any) -> Iterator[None]:
        """Applies gradients at this rate, a number or scalar tensor; None: the configured one."""
        self._rate = rate
        try:
            yield
        finally:
            self._rate = None

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
        rate = tf.cast(learning_rate if self._rate is None else self._rate, dtype)
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


def _secs_when(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The clock, float64, when all of these are there.

    Only later readings wait for it: a function's clocks are read in the order of the program.
    """
    with tf.control_dependencies(tensors):
        return tf.timestamp()


def adam(distribution: Distribution, settings: Any, name: str) -> ReplicaAdam:
    """Builds one network's optimizer from its section of the config."""
    return ReplicaAdam(
        distribution,
        # A scheduled rate is given with every update.
        learning_rate=value_at(settings.rate, 0, 1),
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        # Keras cuts inside `apply`, which sees gradients that are summed: all workers cut alike.
        global_clipnorm=settings.clip_norm or None,
        name=name,
    )


def several_workers(world_size: int, *, on_gpu: bool) -> Distribution:
    """Joins the workers that TF_CONFIG names; returns when all are there.

    Args:
        world_size: How many; one alone joins nobody.
        on_gpu: Sums over replicas by NCCL, else over gRPC.
    """
    if world_size == 1:
        return Distribution()
    kinds = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=kinds.NCCL if on_gpu else kinds.RING
    )
    return Distribution(tf.distribute.MultiWorkerMirroredStrategy(communication_options=options))
