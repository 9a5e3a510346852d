"""Closing callbacks, however a fit ends."""

import pytest

from trainer.callbacks.base import StepCallback, closing
from trainer.errors import StorageError


class Closes(StepCallback):
    def __init__(self, error=None):
        super().__init__()
        self.error, self.closed = error, 0

    def close(self):
        self.closed += 1
        if self.error:
            raise self.error


def test_all_are_closed_and_the_first_error_is_raised():
    callbacks = [Closes(), Closes(StorageError("first")), Closes(StorageError("second"))]
    with pytest.raises(StorageError, match="first"), closing(callbacks):
        pass
    assert [callback.closed for callback in callbacks] == [1, 1, 1]


def test_the_error_of_the_fit_stands():
    callbacks = [Closes(StorageError("while closing")), Closes()]
    with pytest.raises(KeyError, match="of the fit"), closing(callbacks):
        raise KeyError("of the fit")
    assert [callback.closed for callback in callbacks] == [1, 1]
