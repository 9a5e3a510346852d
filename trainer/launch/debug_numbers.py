"""What a tensor's numbers are like, and the error that names the first bad one.

Owns counting and wording. Which tensors are looked at is `debug_watch`'s.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.console import figure
from trainer.errors import TrainingError


@dataclass(frozen=True)
class Numbers:
    """The numbers of one tensor.

    Attributes:
        name: Which tensor, in words.
        dtype: Such as `float32`.
        shape: Its shape.
        nans: How many are NaN.
        infs: How many are infinite.
        least: The least finite one; NaN where there is none.
        most: The largest finite one; NaN where there is none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nans: int
    infs: int
    least: float
    most: float

    def told(self) -> str:
        """Returns all of it in words."""
        count = math.prod(self.shape)
        if math.isnan(self.least):
            span = "no number is finite"
        else:
            span = f"finite ones from {figure(self.least)} to {figure(self.most)}"
        return (
            f"{self.name}, {self.dtype} {list(self.shape)}: {self.nans:,} NaN and "
            f"{self.infs:,} Inf of {count:,}; {span}"
        )

    def span(self) -> str:
        """Returns the range of the numbers, short."""
        if self.nans or self.infs:
            return f"{self.name} is not finite"
        return f"{self.name} from {figure(self.least)} to {figure(self.most)}"


def is_finite(tensor: Any) -> bool:
    """Says whether all numbers of a float tensor are finite; True for other types."""
    tensor = tf.convert_to_tensor(tensor)
    if not tensor.dtype.is_floating:
        return True
    return bool(tf.reduce_all(tf.math.is_finite(tensor)))


def describe(name: str, tensor: Any) -> Numbers:
    """Counts and measures a tensor.

    Args:
        name: Which tensor, in words.
        tensor: Of any float type and shape.
    """
    tensor = tf.convert_to_tensor(tensor)
    values = tf.cast(tensor, tf.float64).numpy()
    finite = values[np.isfinite(values)]
    return Numbers(
        name=name,
        dtype=tensor.dtype.name,
        shape=tuple(values.shape),
        nans=int(np.isnan(values).sum()),
        infs=int(np.isinf(values).sum()),
        least=float(finite.min()) if finite.size else float("nan"),
        most=float(finite.max()) if finite.size else float("nan"),
    )


def bad_tensor(step: int, bad: Numbers, around: list[Numbers]) -> TrainingError:
    """Returns the error that names the first tensor which is not finite.

    Args:
        step: The step in which it was seen, counted from 1.
        bad: The tensor.
        around: What went into it: inputs and weights.
    """
    from_what = "; it was made from " + ", ".join(n.span() for n in around) if around else ""
    return TrainingError(
        f"in step {step:,} the first tensor that is not finite is {bad.told()}{from_what}",
        expected="finite numbers; all tensors looked at before it were finite",
        remedy="numbers that grew too large: lower the rates, or raise loss.r1_weight; in half "
        "precision: precision=float32. To look at it, put breakpoint() before that place and run "
        "catgan debug again",
    )
