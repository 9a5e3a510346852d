"""Out of memory, in words."""

import pytest
import tensorflow as tf

from trainer.callbacks.memory import is_out_of_memory, out_of_memory_error


@pytest.mark.slow  # TensorFlow tries for ten seconds
def test_a_real_failure_to_allocate_is_recognised():
    with pytest.raises(tf.errors.OpError) as caught:
        tf.zeros([10**15]) + 1
    assert is_out_of_memory(caught.value)


def test_only_memory_errors_are_recognised():
    assert is_out_of_memory(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))
    assert is_out_of_memory(tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(tf.errors.InvalidArgumentError(None, None, "bad shape"))


def test_the_largest_part_that_fits_is_named():
    tried = []

    def fits(part):
        tried.append(part)
        return part <= 8

    error = out_of_memory_error(64, fits, has_batch_norm=False)
    assert tried == [32, 16, 8]
    assert "64 pictures" in error.what
    assert error.remedy == "set training.micro_batch=8"
    assert error.exit_code == 7


def test_batch_norm_needs_a_smaller_batch_instead():
    error = out_of_memory_error(64, lambda part: part <= 8, has_batch_norm=True)
    assert "training.global_batch=8" in error.remedy


def test_when_nothing_fits_the_networks_are_too_large():
    error = out_of_memory_error(64, lambda part: False, has_batch_norm=False)
    assert "single" in error.what
    assert "base_channels" in error.remedy
