"""Everything a checkpoint holds, as named host arrays.

Owns the names of tensors (design C5). Names come from layer names, which are
part of the format, never from counters that drift between processes.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import CheckpointError

if TYPE_CHECKING:
    from trainer.gan.gan import GAN

NETWORKS = ("generator/", "discriminator/", "ema/")
"""What the names of the three networks' tensors begin with."""
_LAST_PENALTIES = "adaptive/last_penalties"


def network_variables(network: keras.Model, prefix: str) -> Iterator[tuple[str, keras.Variable]]:
    """Yields `(prefix/layer/variable, variable)` for all weights and moving statistics."""
    for layer in network.layers:
        for variable in layer.variables:
            yield f"{prefix}/{layer.name}/{variable.name}", variable


def _optimizer_variables(
    optimizer: keras.optimizers.Optimizer, network: keras.Model, prefix: str
) -> Iterator[tuple[str, keras.Variable]]:
    yield f"{prefix}/iterations", optimizer.iterations
    trainable = {id(v) for v in network.trainable_variables}
    names = [n for n, v in network_variables(network, "") if id(v) in trainable]
    slots = zip(names, optimizer._momentums, optimizer._velocities, strict=True)
    for name, momentum, velocity in slots:
        yield f"{prefix}/momentum{name}", momentum
        yield f"{prefix}/velocity{name}", velocity


def variables(gan: "GAN") -> dict[str, Any]:
    """Returns `{tensor name: variable}` of the whole state of a `GAN`."""
    named: dict[str, Any] = {}
    named |= network_variables(gan.generator, "generator")
    named |= network_variables(gan.discriminator, "discriminator")
    named |= network_variables(gan.ema_generator, "ema")
    named |= _optimizer_variables(gan.generator_optimizer, gan.generator, "generator_optimizer")
    named |= _optimizer_variables(
        gan.discriminator_optimizer, gan.discriminator, "discriminator_optimizer"
    )
    named[_LAST_PENALTIES] = gan.figures.last_penalties
    for name, scale in (("d", gan.d_scale), ("g", gan.g_scale)):
        named[f"adaptive/{name}_loss_scale"] = scale.value
        named[f"adaptive/{name}_loss_scale_good_steps"] = scale.good_steps
    return named | (gan.adaptive.variables() if gan.adaptive else {})


def variable_bytes(variable: Any) -> int:
    """Bytes of a variable's numbers, from its shape: nothing is copied from the device."""
    return math.prod(variable.shape) * _dtype(variable).itemsize


def is_finite(gan: "GAN") -> bool:
    """Whether the state has no NaN and no infinity."""
    floats = [v for v in variables(gan).values() if _dtype(v).kind == "f"]
    return bool(tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in floats]))


def read_state(gan: "GAN") -> dict[str, np.ndarray]:
    """Returns host copies, which later steps do not change."""
    named = variables(gan)
    return {name: np.array(variable.numpy()) for name, variable in named.items()}


def write_networks(gan: "GAN", state: dict[str, np.ndarray]) -> None:
    """Assigns the three networks' variables alone; optimizers stay as they are.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape.
    """
    networks = {"generator": gan.generator, "discriminator": gan.discriminator}
    networks["ema"] = gan.ema_generator
    named = {
        name: variable
        for prefix, network in networks.items()
        for name, variable in network_variables(network, prefix)
    }
    _assign(named, state)


def write_state(gan: "GAN", state: dict[str, np.ndarray]) -> None:
    """Assigns every variable from `state`, whose run may have had other penalties and precision.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape.
    """
    if _LAST_PENALTIES in state:
        state = state | {_LAST_PENALTIES: gan.figures.fitted(state[_LAST_PENALTIES])}
    _assign(variables(gan), state)
    for scale in (gan.d_scale, gan.g_scale):
        scale.begin()


def _assign(named: dict[str, Any], state: dict[str, np.ndarray]) -> None:
    missing, extra = sorted(named.keys() - state.keys()), sorted(state.keys() - named.keys())
    shapes = [
        f"{name} is {list(state[name].shape)}, not {list(variable.shape)}"
        for name, variable in named.items()
        if name in state and tuple(state[name].shape) != tuple(variable.shape)
    ]
    if missing or extra or shapes:
        faults = [f"missing {n}" for n in missing] + [f"unknown {n}" for n in extra] + shapes
        raise CheckpointError(
            f"the checkpoint does not fit the networks of this config: {'; '.join(faults[:5])}"
            + (f" and {len(faults) - 5} more" if len(faults) > 5 else ""),
            expected="a checkpoint written by a run with the same `model` section",
            remedy="resume the run from its own address, without changing `model`",
        )
    for name, variable in named.items():
        variable.assign(state[name].astype(_dtype(variable)))


def _dtype(variable: Any) -> np.dtype:
    """Keras' variables name theirs, TensorFlow's have an object."""
    dtype = variable.dtype
    return np.dtype(dtype if isinstance(dtype, str) else dtype.as_numpy_dtype)
