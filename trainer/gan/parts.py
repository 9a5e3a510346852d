"""Gradients of a batch, part by part, in the memory of one part.

Owns the accumulation only. Exact for networks whose rows do not see each
other: all losses are sums over rows.
"""

from collections.abc import Callable

import tensorflow as tf

Logs = dict[str, tf.Tensor]
Part = Callable[..., tuple[list[tf.Tensor], Logs]]


def gradients_in_parts(part: Part, size: int, *rows: tf.Tensor) -> tuple[list[tf.Tensor], Logs]:
    """Sums `part`'s gradients and figures over slices of `size` rows.

    Parts run one after another: in parallel they would need the memory that
    they are there to save.

    Args:
        part: `(*rows) -> (gradients, logs)` for some rows of each tensor.
        size: Rows of a part; the last one may be smaller.
        *rows: Tensors `[n, …]`: real pictures, latents, what else was drawn.
    """
    count = rows[0].shape[0]
    gradients, logs = part(*(tensor[:size] for tensor in rows))
    names = list(logs)
    whole = count // size
    totals = [*gradients, *logs.values()]

    def add(index, *sums, length=size):
        begin = index * size
        more, figures = part(*(_rows(tensor, begin, length) for tensor in rows))
        added = [*more, *(figures[name] for name in names)]
        return index + 1, *(s + a for s, a in zip(sums, added, strict=True))

    if whole > 1:
        loop = tf.while_loop(
            lambda index, *_: index < whole, add, [tf.constant(1), *totals], parallel_iterations=1
        )
        totals = list(loop[1:])
    if count % size and count > size:
        with tf.control_dependencies(totals):
            totals = list(add(tf.constant(whole), *totals, length=count % size)[1:])
    weights = len(gradients)
    return totals[:weights], dict(zip(names, totals[weights:], strict=True))


def _rows(tensor: tf.Tensor, begin: tf.Tensor, count: int) -> tf.Tensor:
    """`tensor[begin : begin + count]` whose shape is known before it runs, as XLA wants it."""
    rest = tensor.shape[1:]
    return tf.slice(tensor, [begin, *[0] * len(rest)], [count, *rest])
