"""Floating-point operations of a training step, counted in its traced graph.

Owns the count: multiplications and additions of convolutions and matrix
products by their static shapes. All else (activations, norms, the optimizers'
arithmetic, random numbers) is left out: it is under a hundredth of these
networks' work. What the graph computes for nobody is not counted, because
TensorFlow prunes it too.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from trainer.gan.gan import GAN


class StepFlops(NamedTuple):
    """Operations of one step on one worker's rows.

    Attributes:
        plain: Of a step without gradient penalties.
        penalty: Of a step with them; equal to `plain` where there are none.
        mean: Over all steps of a run.
    """

    plain: int
    penalty: int
    mean: float


def step_flops(gan: "GAN") -> StepFlops:
    """Counts a model's real training step, traced anew without running it.

    Raises:
        ValueError: The step has a shape that is not known before it runs.
    """
    loss = gan.config.loss
    plain = _traced_flops(gan, with_penalty=False)
    if not loss.has_penalty:
        return StepFlops(plain, plain, float(plain))
    penalty = _traced_flops(gan, with_penalty=True)
    return StepFlops(plain, penalty, plain + (penalty - plain) / loss.penalty_every_steps)


def _traced_flops(gan: "GAN", *, with_penalty: bool) -> int:
    rows, size_px = gan.draws.count, gan.config.dataset.size_px

    @tf.function(autograph=False)
    def step(images, finished_steps):
        return gan.train_step((images, finished_steps), with_penalty=with_penalty)

    with _in_one_part(gan):
        traced = step.get_concrete_function(
            tf.TensorSpec([rows, size_px, size_px, 3], tf.uint8), tf.TensorSpec([], tf.int64)
        )
    return count_flops(traced)


@contextlib.contextmanager
def _in_one_part(gan: "GAN") -> Iterator[None]:
    """Makes a step in parts one part: the same work, without a loop whose rounds are unknown."""
    config = gan.config
    if config.training.micro_batch:
        training = config.training.model_copy(update={"micro_batch": gan.draws.count})
        gan.config = config.model_copy(update={"training": training})
    try:
        yield
    finally:
        gan.config = config


def count_flops(concrete_function: Any) -> int:
    """Counts the operations of a traced function and of all functions that it calls.

    Args:
        concrete_function: From `tf.function(…).get_concrete_function(…)`.

    Raises:
        ValueError: A shape is not known before the function runs, or convolutions or matrix
            products stand in a loop, whose rounds a graph does not tell.
    """
    return _Counter().graph(concrete_function.graph)


class _Counter:
    """Walks graphs; each function is counted once and remembered."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def graph(self, graph: Any) -> int:
        return sum(self._operation(op, graph) for op in _live_operations(graph))

    def _operation(self, op: Any, graph: Any) -> int:
        if op.type in _RULES:
            return _RULES[op.type](op)
        if op.type in ("While", "StatelessWhile"):
            if self._function(op.get_attr("body").name, graph):
                raise ValueError(f"there is work in the loop {op.name}, of unknown rounds")
            return 0
        if op.type in ("If", "StatelessIf", "Case", "StatelessCase"):
            # Which branch runs is not known before; the dearest is what must be budgeted.
            return max(self._function(name, graph) for name in _function_names(op))
        return sum(self._function(name, graph) for name in _function_names(op))

    def _function(self, name: str, graph: Any) -> int:
        if name not in self._known:
            self._known[name] = self.graph(graph._get_function(name).graph)
        return self._known[name]


def _live_operations(graph: Any) -> list[Any]:
    """Returns the operations that the graph's results or side effects depend on."""
    stateful = [op for op in graph.get_operations() if op.op_def.is_stateful]
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs) + stateful
    live: dict[str, Any] = {}
    while waiting:
        op = waiting.pop()
        if op.name not in live:
            live[op.name] = op
            waiting += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return list(live.values())


def _function_names(op: Any) -> Iterable[str]:
    for attribute in op.op_def.attr:
        if attribute.type == "func":
            yield op.get_attr(attribute.name).name
        elif attribute.type == "list(func)":
            yield from (function.name for function in op.get_attr(attribute.name))


def _size(tensor: Any) -> int:
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"the shape of {tensor.name}, {tensor.shape}, is not known before it runs")
    return math.prod(tensor.shape)


def _convolution(pixels: Any, kernel: Any) -> int:
    """Work of a convolution or of one of its gradients.

    Each of the three multiplies every element on the strided side with one
    window of the kernel over all channels of the other side.

    Args:
        pixels: Tensor on the strided side, `[n, h, w, out]`.
        kernel: Tensor `[kh, kw, in, out]`.
    """
    per_pixel = math.prod(tf.TensorShape(kernel.shape)[:3].as_list())
    return 2 * _size(pixels) * per_pixel


def _product(op: Any) -> int:
    left, right = op.inputs[:2]
    _size(left)
    inner = left.shape[-2] if _transposed(op) else left.shape[-1]
    return 2 * _size(op.outputs[0]) * inner if _size(right) else 0


def _transposed(op: Any) -> bool:
    return bool(op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x"))


_RULES: dict[str, Callable[[Any], int]] = {
    "Conv2D": lambda op: _convolution(op.outputs[0], op.inputs[1]),
    "Conv2DBackpropInput": lambda op: _convolution(op.inputs[2], op.inputs[1]),
    "Conv2DBackpropFilter": lambda op: _convolution(op.inputs[2], op.outputs[0]),
    "MatMul": _product,
    "BatchMatMulV2": _product,
}
