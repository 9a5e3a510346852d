"""SIGTERM in a worker of a cluster: a wish to publish a checkpoint and stop.

Owns the signal's handler in Ray's worker processes. Ray's own ends the process at once,
where a machine that is taken back, or a batch system that ends a job, signals all
processes some seconds before it kills them. A second SIGTERM changes nothing: it may be
Ray's own, which kills the process 5 s later.

The main thread belongs to Ray and sits in native code, where Python's handlers wait for
their turn; so the number is read from a socket that Python writes to inside the signal.
TensorFlow's server takes the signal for itself when it starts, past Python: it is taken
back afterwards, also past Python, which lets only the main thread do that.
"""

import contextlib
import ctypes
import signal
import socket
import threading
from types import FrameType

_libc = ctypes.CDLL(None)
_libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
_libc.signal.restype = ctypes.c_void_p
_receiver: socket.socket | None = None
_sender: socket.socket | None = None
_pythons_own: int | None = None
_heard = False


def listen() -> None:
    """Takes SIGTERM over from Ray; elsewhere than in the main thread nothing happens."""
    global _receiver, _sender, _pythons_own
    if _receiver is not None or threading.current_thread() is not threading.main_thread():
        return
    _receiver, _sender = socket.socketpair()
    _receiver.setblocking(False)
    _sender.setblocking(False)
    signal.signal(signal.SIGTERM, _leave_it_to_the_socket)
    signal.set_wakeup_fd(_sender.fileno(), warn_on_full_buffer=False)
    # There is no call that only asks.
    _pythons_own = _libc.signal(signal.SIGTERM, None)
    listen_again()


def listen_again() -> None:
    """Takes SIGTERM back from native code that took it since. For any thread."""
    if _pythons_own is not None:
        _libc.signal(signal.SIGTERM, _pythons_own)


def heard() -> bool:
    """Whether SIGTERM has come. For any thread."""
    global _heard
    if _receiver is None:
        return False
    with contextlib.suppress(BlockingIOError):
        _heard = signal.SIGTERM in _receiver.recv(64) or _heard
    return _heard


def _leave_it_to_the_socket(number: int, frame: FrameType | None) -> None:
    """Without a handler of Python's, nothing is written to the socket."""
