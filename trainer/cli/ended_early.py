"""Ctrl-C and SIGTERM in a command that goes on where it stopped, once it is given again."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from trainer.errors import InterruptedRun, TerminatedRun

_SAME_AGAIN = "run the same command again: it goes on where it stopped"


@contextlib.contextmanager
def told_in_words(kept: str) -> Iterator[None]:
    """Turns both signals into InterruptedRun and TerminatedRun.

    Args:
        kept: What is not lost, in words.
    """
    terminated = False

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # No `Exception`: one that is raised while a line is logged gets lost.
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    # A call of Ray's that a signal breaks into may end with a SystemError of Python.
    except (KeyboardInterrupt, InterruptedRun, SystemError) as error:
        if terminated:
            raise TerminatedRun(f"terminated; {kept}", remedy=_SAME_AGAIN) from None
        if not isinstance(error, KeyboardInterrupt):
            raise
        raise InterruptedRun(f"interrupted; {kept}", remedy=_SAME_AGAIN) from None
