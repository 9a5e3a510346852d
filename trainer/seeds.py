"""Seeds as a function of (run seed, purpose, position).

Owns how a random draw is named. Does not draw inside a training step: there
TensorFlow's stateless operations take `purpose_key` and the step number.

NumPy promises stable streams for bit generators only, not for the methods of
`numpy.random.Generator`, so everything here is built from raw Philox bits:
an order drawn today is the same under next year's NumPy.
"""

import hashlib

import numpy as np


def _digest(run_seed: int, purpose: str, position: tuple[int, ...]) -> bytes:
    text = ":".join([str(int(run_seed)), purpose, *(str(int(p)) for p in position)])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def purpose_key(run_seed: int, purpose: str) -> int:
    """Returns a key in [0, 2**63) for all draws of one purpose in one run."""
    return int.from_bytes(_digest(run_seed, purpose, ())[:8], "little") >> 1


def random_bits(count: int, run_seed: int, purpose: str, *position: int) -> np.ndarray:
    """Returns uint64 `[count]`, uniform, a function of the arguments alone."""
    key = int.from_bytes(_digest(run_seed, purpose, position), "little")
    return np.random.Philox(key=key).random_raw(int(count)).astype(np.uint64, copy=False)


def permutation(count: int, run_seed: int, purpose: str, *position: int) -> np.ndarray:
    """Returns int64 `[count]`: the numbers 0 to count - 1 in a random order."""
    bits = random_bits(count, run_seed, purpose, *position)
    return np.argsort(bits, kind="stable").astype(np.int64, copy=False)
