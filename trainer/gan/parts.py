"""Gradients of a batch, part by part, in the memory of one part.

Owns the accumulation only. Exact for networks whose rows do not see each
other: all losses are sums over rows.
"""

from collections.abc import Callable

import tensorflow as tf

Logs = dict[str, tf.Tensor]
Part = Callable[[tf.Tensor, tf.Tensor], tuple[list[tf.Tensor], Logs]]


def gradients_in_parts(
    part: Part, size: int, real_images: tf.Tensor, latents: tf.Tensor
) -> tuple[list[tf.Tensor], Logs]:
    """Sums `part`'s gradients and figures over slices of `size` rows.

    Parts run one after another: in parallel they would need the memory that
    they are there to save.

    Args:
        part: `(real_images, latents) -> (gradients, logs)` for some rows.
        size: Rows of a part; the last one may be smaller.
        real_images: `[n, H, W, 3]`.
        latents: `[n, latent_dim]`.
    """
    rows = real_images.shape[0]
    gradients, logs = part(real_images[:size], latents[:size])
    names = list(logs)
    whole = rows // size
    totals = [*gradients, *logs.values()]

    def add(index, *sums, count=size):
        begin = index * size
        more, figures = part(_rows(real_images, begin, count), _rows(latents, begin, count))
        added = [*more, *(figures[name] for name in names)]
        return index + 1, *(s + a for s, a in zip(sums, added, strict=True))

    if whole > 1:
        loop = tf.while_loop(
            lambda index, *_: index < whole, add, [tf.constant(1), *totals], parallel_iterations=1
        )
        totals = list(loop[1:])
    if rows % size and rows > size:
        with tf.control_dependencies(totals):
            totals = list(add(tf.constant(whole), *totals, count=rows % size)[1:])
    count = len(gradients)
    return totals[:count], dict(zip(names, totals[count:], strict=True))


def _rows(tensor: tf.Tensor, begin: tf.Tensor, count: int) -> tf.Tensor:
    """`tensor[begin : begin + count]` whose shape is known before it runs, as XLA wants it."""
    rest = tensor.shape[1:]
    return tf.slice(tensor, [begin, *[0] * len(rest)], [count, *rest])
