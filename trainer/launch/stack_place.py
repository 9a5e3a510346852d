"""Says in words what a stuck thread stands in.

Owns reading Python's stacks. Whether a thread is stuck is `check_in.py`'s to find.
"""

import gc
import itertools
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType

_DATA, _STEP, _OURS = "/data/ops/iterator_ops", "/tensorflow/python/", "/trainer/"
# Ray holds up whoever reports until all have.
_BARRIER = "/launch/pointer.py"
# Storage itself, and where training waits for what is stored behind it.
_STORING = ("/trainer/storage/", "/checkpoint/writer.py", "/callbacks/background.py")


_ONE_ASKS = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where a thread stands.

    Attributes:
        words: For a message, such as "waiting for data".
        waits: It stands in a step, or a report to Ray: most of all it waits for another worker.
        trace: Python's own listing of its stack.
        stores: It waits for storage, which has a limit of its own.
    """

    words: str
    waits: bool
    trace: str
    stores: bool = False


def all_stacks() -> dict[int, FrameType]:
    """Returns the innermost frame of each thread, by its identifier.

    Nothing is collected meanwhile: Python 3.11 makes these frames under a lock that the end of a
    `threading.local` wants too, so that a collection in between would stop every thread for good
    (CPython's issue 106883).
    """
    with _ONE_ASKS:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames()
        finally:
            if collects:
                gc.enable()


def place_of(thread: int, stacks: Mapping[int, FrameType]) -> Place:
    """Says where a thread stands.

    A step may take its batch inside a graph, out of Python's sight; then another thread
    stands in our reading of shards, which it leaves when enough is read ahead.

    Args:
        thread: Its identifier.
        stacks: From `all_stacks`.
    """
    frame = stacks.get(thread)
    if frame is None:
        return Place("its training thread has ended", False, "")
    trace = "".join(traceback.format_stack(frame))
    names = [_name(f) for f in _outward(frame)]
    inside = list(itertools.takewhile(lambda name: _OURS not in name, names))
    if any(_STEP in name for name in inside):
        reading = _reading(thread, stacks)
        if reading or any(_DATA in name for name in inside):
            return Place("waiting for data" + (f" ({reading})" if reading else ""), False, trace)
        return Place("in a step, perhaps waiting for another worker", True, trace)
    stores = any(part in name for name in names for part in _STORING)
    waits = not stores and any(_BARRIER in name for name in names)
    return Place(_words(frame), waits, trace, stores)


def _reading(thread: int, stacks: Mapping[int, FrameType]) -> str:
    for other, frame in stacks.items():
        if other != thread and any("/trainer/data/" in _name(f) for f in _outward(frame)):
            return _words(frame)
    return ""


def _words(frame: FrameType) -> str:
    """Names the innermost place, and where that is not ours, the place of ours behind it."""
    here = f"in {_spot(frame)}"
    if _OURS in _name(frame):
        return here
    ours = next((f for f in _outward(frame) if _OURS in _name(f)), None)
    return here if ours is None else f"{here}, called from {_spot(ours)}"


def _spot(frame: FrameType) -> str:
    name = _name(frame)
    short = name.rsplit(_OURS, 1)[1] if _OURS in name else name.rsplit("/", 1)[-1]
    return f"{short}:{frame.f_lineno} ({frame.f_code.co_name})"


def _name(frame: FrameType) -> str:
    return frame.f_code.co_filename.replace(os.sep, "/")


def _outward(frame: FrameType | None) -> list[FrameType]:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found
