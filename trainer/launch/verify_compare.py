"""Whether two checkpoints hold the same bits, and if not, what differs.

Owns the comparison only; pure functions of arrays by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Without determinism: how much more than the machine's own noise a resume may differ, and
# the part of a tensor's largest value that rounding may come to within a few dozen steps.
_NOISE_FACTOR = 10.0
_SMALL_SHARE = 0.01


@dataclass(frozen=True)
class Difference:
    """How one tensor differs.

    Attributes:
        name: Of the tensor.
        count: Numbers in it that differ; -1 where the shapes or types do.
        size: Numbers in it.
        most: Largest difference; NaN where the shapes do or a number is not finite.
        largest: Largest absolute value of the tensor that was expected.
    """

    name: str
    count: int
    size: int
    most: float
    largest: float

    def told(self) -> str:
        """Returns the difference in words."""
        if self.count < 0:
            return f"{self.name}: another shape or type, or missing"
        return (
            f"{self.name}: {self.count:,} of {self.size:,} numbers, by at most {self.most:.3g} "
            f"(the largest there is {self.largest:.3g})"
        )


def differences(
    expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> list[Difference]:
    """Returns the tensors that are not the same bit for bit, in the order of their names.

    Args:
        expected: Tensors of the run without a stop.
        found: Tensors of the other.
    """
    return [
        _difference(name, expected.get(name), found.get(name))
        for name in sorted(expected.keys() | found.keys())
        if not _same(expected.get(name), found.get(name))
    ]


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    # Bytes, not values: -0.0 is not 0.0 here, and NaN equals itself.
    return one.tobytes() == other.tobytes()


def _difference(name: str, one: np.ndarray | None, other: np.ndarray | None) -> Difference:
    if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        return Difference(name, -1, 0, float("nan"), float("nan"))
    left, right = one.astype(np.float64), other.astype(np.float64)
    width = one.dtype.itemsize
    bits = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (one, other))
    unlike = np.not_equal(*bits).reshape(-1, width).any(axis=1)
    with np.errstate(invalid="ignore"):
        most = float(np.abs(left - right).max())
    return Difference(name, int(unlike.sum()), one.size, most, float(np.abs(left).max()))


def within_noise(found: list[Difference], noise: list[Difference]) -> bool:
    """Says whether differences are no more than what this machine makes without any stop.

    Args:
        found: Between a resumed run and one without a stop.
        noise: Between two runs without a stop.
    """
    usual = {item.name: item.most for item in noise}
    return all(
        item.count >= 0
        and item.most <= max(_NOISE_FACTOR * usual.get(item.name, 0.0), _SMALL_SHARE * item.largest)
        for item in found
    )
