"""Out of memory, in words that help.

Owns how such an error is recognised and how the largest micro batch that fits
is found. Running a step of a given size is the caller's business.
"""

from collections.abc import Callable

import tensorflow as tf

from trainer.errors import TrainingError

_SIGNS = ("out of memory", "out_of_memory", "resource_exhausted", "failed to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that the device's or the host's memory is full."""
    if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
        return True
    # Libraries on the GPU report the same as an internal error.
    text = str(error).lower()
    return isinstance(error, tf.errors.OpError) and any(sign in text for sign in _SIGNS)


def out_of_memory_error(
    tried: int, fits: Callable[[int], bool], *, has_batch_norm: bool
) -> TrainingError:
    """Finds the largest part of a batch that fits, by halves, and says so.

    Args:
        tried: Pictures computed at once when memory ran out.
        fits: Runs one step with so many pictures at once and returns whether
            memory sufficed; it must free what it took.
        has_batch_norm: Whether a network has batch norm, which needs its whole batch at once.

    Returns:
        The error to raise.
    """
    part = tried // 2
    while part and not fits(part):
        part //= 2
    what = f"the device's memory is too small for {tried} pictures at once"
    if not part:
        return TrainingError(
            f"{what}, and for a single one",
            expected="networks that fit",
            remedy="lower model.base_channels or dataset.size_px, or free the device's memory",
        )
    if has_batch_norm:
        return TrainingError(
            f"{what}; {part} fit",
            expected="a batch that fits whole, because of batch norm",
            remedy=f"set training.global_batch={part} for each worker, "
            "or use networks without batch norm and training.micro_batch",
        )
    return TrainingError(
        f"{what}; {part} fit",
        expected="a micro batch that fits; the results are the same, the step a little slower",
        remedy=f"set training.micro_batch={part}",
    )
