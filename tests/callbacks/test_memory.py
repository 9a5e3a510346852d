"""Out of memory in words, from real failures to allocate."""

import pytest
import tensorflow as tf

from trainer.callbacks.memory import is_out_of_memory, out_of_memory_error


def allocate(num_floats: int) -> None:
    tf.zeros([num_floats]) + 1


def test_a_real_failure_to_allocate_is_recognised():
    with pytest.raises(tf.errors.OpError) as caught:
        allocate(10**15)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(tf.errors.InvalidArgumentError(None, None, "bad shape"))


def fits(part: int) -> bool:
    # Parts above 8 ask for more than any machine has.
    try:
        allocate(10**15 if part > 8 else part)
    except tf.errors.OpError as error:
        return not is_out_of_memory(error)
    return True


def test_the_largest_part_that_fits_is_named():
    error = out_of_memory_error(64, fits, has_batch_norm=False)
    assert "64 pictures" in error.what
    assert error.remedy == "set training.micro_batch=8"
    assert error.exit_code == 7


def test_batch_norm_needs_a_smaller_batch_instead():
    assert "training.global_batch=8" in out_of_memory_error(64, fits, has_batch_norm=True).remedy


def test_when_nothing_fits_the_networks_are_too_large():
    error = out_of_memory_error(64, lambda part: False, has_batch_norm=False)
    assert "single" in error.what
    assert "base_channels" in error.remedy
