"""Errors that a person can act on.

Owns the exception classes and their exit codes. Does not print or exit: the
command line turns these into text, see `trainer.cli`.

Each class stands for one kind of remedy, and each message has three parts:
what happened (with the values), what was expected, what to do.
"""

import re

_PASSWORD = re.compile(r"(?<=://)[^/@\s'\"]+@")


def masked(text: str) -> str:
    """Returns a text without the names and passwords that addresses in it carry."""
    return _PASSWORD.sub("…@", text)


class CatganError(Exception):
    """Base of all errors that reach a person.

    Args:
        what: What happened, with the values that made it happen.
        expected: What would have been right. May be empty where `what` says it.
        remedy: What to do now, best a command that can be pasted.

    Attributes:
        exit_code: Exit status of the process when this error ends it.
    """

    exit_code = 1

    def __init__(self, what: str, *, expected: str = "", remedy: str = "") -> None:
        # Messages end up in logs, in run.json and on dashboards.
        what, expected, remedy = map(masked, (what, expected, remedy))
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.what]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  do: {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self):
        return _rebuild, (type(self), self.what, self.expected, self.remedy, self.__dict__)


def _rebuild(cls, what, expected, remedy, state):
    error = cls.__new__(cls)
    CatganError.__init__(error, what, expected=expected, remedy=remedy)
    error.__dict__.update(state)
    return error


class ConfigError(CatganError):
    """The command line or the config cannot be used as written."""

    exit_code = 2


class DataError(CatganError):
    """Pictures or a data set are missing, damaged or unfit."""

    exit_code = 3


class StorageError(CatganError):
    """A folder or bucket cannot be reached, read or written."""

    exit_code = 4


class CheckpointError(CatganError):
    """A checkpoint or run folder is missing, damaged or of another run."""

    exit_code = 5


class ClusterError(CatganError):
    """The cluster cannot give what was asked for, or lost it."""

    exit_code = 6


class TrainingError(CatganError):
    """Training itself went wrong: non-finite values, divergence, out of memory."""

    exit_code = 7


class NonFiniteError(TrainingError):
    """A step's losses are no numbers; the run can go back and try once more."""


class InterruptedRun(CatganError):
    """The run was stopped by Ctrl-C, after a checkpoint was published."""

    exit_code = 130


class TerminatedRun(CatganError):
    """The run was stopped by SIGTERM, after a checkpoint was published."""

    exit_code = 143
