"""The command line and a run that it trained, as in the tests of commands."""

from tests.cli.conftest import catgan, trained

__all__ = ["catgan", "trained"]
