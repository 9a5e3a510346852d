"""SIGTERM in a worker of a cluster: a wish to publish a checkpoint and stop.

Owns the signal's handler in Ray's worker processes. Ray's own ends the process at once,
where a machine that is taken back, or a batch system that ends a job, signals all
processes some seconds before it kills them. A second SIGTERM ends the process.

The main thread belongs to Ray and sits in native code, where Python's handlers wait for
their turn; so the number is read from a socket that Python writes to inside the signal.
"""

import contextlib
import os
import signal
import socket
import threading
from types import FrameType

_receiver: socket.socket | None = None
_sender: socket.socket | None = None
_heard = 0


def listen() -> None:
    """Takes SIGTERM over from Ray; elsewhere than in the main thread nothing happens."""
    global _receiver, _sender
    if _receiver is not None or threading.current_thread() is not threading.main_thread():
        return
    _receiver, _sender = socket.socketpair()
    _receiver.setblocking(False)
    _sender.setblocking(False)
    signal.signal(signal.SIGTERM, _leave_it_to_the_socket)
    signal.set_wakeup_fd(_sender.fileno(), warn_on_full_buffer=False)


def heard() -> bool:
    """Whether SIGTERM has come; ends the process if it came twice. For any thread."""
    global _heard
    if _receiver is None:
        return False
    with contextlib.suppress(BlockingIOError):
        _heard += _receiver.recv(64).count(signal.SIGTERM)
    if _heard > 1:
        os._exit(128 + signal.SIGTERM)
    return _heard > 0


def _leave_it_to_the_socket(number: int, frame: FrameType | None) -> None:
    """Without a handler of Python's, nothing is written to the socket."""
