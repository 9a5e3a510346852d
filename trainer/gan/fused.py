"""Pieces of a step that are compiled by themselves.

Owns when that is done: on a CPU, where TensorFlow runs through memory once for every operation
and XLA once for many. The rest of the step stays as it is, for XLA has no quick convolutions there.
On a GPU nothing is done; a step that is compiled as a whole contains the pieces.
"""

import functools
from collections.abc import Callable

import tensorflow as tf


def fused(function: Callable) -> Callable:
    """Returns `function`, of tensors alone and without collectives, compiled where that pays."""
    compiled = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*tensors):
        on_gpu = tf.config.get_visible_devices("GPU")
        return function(*tensors) if on_gpu else compiled(*tensors)

    return call
