"""What a converting process runs: takes chunks from its parent, gives outcomes back.

Owns the process's side of the line and the clock around one picture. What is done to a
picture is `convert.py`; the parent's side is `converter.py`.

The clock is the system's alarm with its default action, which ends the process: native
code that decodes a picture may come back to Python too late for anything kinder.
"""

import os
import pickle
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from multiprocessing.connection import Connection

from PIL import Image

from trainer.data.convert import Outcome, Recipe, Task, convert, convert_all

READY = "ready"
"""The first message to the parent: this process can convert."""


def serve(descriptor: int) -> None:
    """Converts chunks until the parent closes its end of the line, or dies.

    Args:
        descriptor: Of the line: a recipe comes first, then lists of tasks; for each an
            outcome list goes back, or an exception.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with Connection(descriptor) as line:
        try:
            recipe: Recipe = line.recv()
            _convert_one(recipe)
            line.send(READY)
            while True:
                line.send_bytes(_answer(line.recv(), recipe, line))
        except (EOFError, OSError):
            return


def _convert_one(recipe: Recipe) -> None:
    """Converts a picture that is known to be good: then a file that fails is at fault itself."""
    packed = BytesIO()
    Image.new("RGB", (8, 8)).save(packed, "png")
    plain = replace(recipe, size_px=8, crop="center")
    outcome = convert(Task(0, "", ("bytes", packed.getvalue())), plain)
    if outcome.record is None:
        raise RuntimeError(f"a plain picture could not be converted: {outcome}")


def _answer(tasks: Sequence[Task], recipe: Recipe, line: Connection) -> bytes:
    @contextmanager
    def limited() -> Iterator[None]:
        if line.poll():  # the parent says nothing before it has an answer: so it is gone
            os._exit(1)
        signal.setitimer(signal.ITIMER_REAL, recipe.decode_secs)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    answer: list[Outcome] | Exception
    try:
        answer = convert_all(tasks, recipe, limited)
    except Exception as error:
        error.add_note(f"in a converting process:\n{traceback.format_exc()}")
        answer = error
    try:
        return pickle.dumps(answer)
    except Exception:  # an exception of a library that cannot travel
        return pickle.dumps(RuntimeError(f"{type(answer).__name__}: {answer}"))
