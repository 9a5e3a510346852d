"""What Ray may not do to the process that uses it: take its signals, its output, its environment.

Owns putting back what Ray changes there, and our place in what it would print. For the length
of a connection; `ray_cluster.py` makes that.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("catgan")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Gives SIGINT and SIGTERM back to whoever had them before the block.

    A SIGTERM that comes inside the block reaches its owner after it: Ray's handler
    turns it into SystemExit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in _SIGNALS}
    ended_by: signal.Signals | None = None
    try:
        yield
    except SystemExit as end:
        if end.code != signal.SIGTERM:
            raise
        ended_by = signal.SIGTERM
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)
    if ended_by:
        handler = kept[ended_by]
        if callable(handler):
            handler(ended_by, None)  # not raised anew: whoever counts signals has seen this one
        else:
            signal.raise_signal(ended_by)
        raise SystemExit(128 + ended_by)  # its owner lets it pass: there is nothing to go on with


@contextlib.contextmanager
def breakpoint_kept() -> Iterator[None]:
    """Keeps Ray's debugger out of the environment, where a child's `breakpoint()` finds it.

    The token of a local cluster stays there: a process that has shown it once goes on to.
    """
    name = "PYTHONBREAKPOINT"
    kept = os.environ.get(name)
    try:
        yield
    finally:
        if kept is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = kept


@contextlib.contextmanager
def words_of_ray_in_the_log() -> Iterator[None]:
    """Keeps Ray off standard output, which is for the answer of a command.

    Ray prints there what workers print, and a paragraph of its own on each that is lost;
    only its own function for it can be told otherwise.
    """
    from ray._private import worker

    kept = getattr(worker, "print_worker_logs", None)

    def told(data: dict[str, Any], stream: Any, *rest: Any) -> None:
        if data.get("pid") in ("raylet", "autoscaler"):
            for line in data.get("lines", ()):
                log.debug("Ray: %s", " ".join(str(line).split()))
        elif kept is not None:
            kept(data, sys.stderr, *rest)

    if kept is not None:
        worker.print_worker_logs = told
    try:
        yield
    finally:
        if kept is not None:
            worker.print_worker_logs = kept


@contextlib.contextmanager
def deaths_left_to_us() -> Iterator[None]:
    """Keeps Ray from printing what it thinks of dead workers: we say it in our own words.

    Its setting `log_to_driver` leaves these out. Where the private place has changed, they
    come again, beside ours.
    """
    import ray._private.worker as private

    kept = getattr(private, "print_to_stdstream", None)
    if kept is None or log.isEnabledFor(logging.DEBUG):
        yield
        return
    private.print_to_stdstream = lambda *told, **named: None
    try:
        yield
    finally:
        private.print_to_stdstream = kept
