"""Where a Ray cluster is, whether it answers, and what is said if it does not.

Owns the forms of an address, the bounded first question to the cluster, and the words
for what Ray says when it refuses. Does not connect, see `ray_cluster.py`.
"""

import contextlib
import os
import queue
import socket
import threading
from pathlib import Path

from trainer.console import silenced_stderr
from trainer.errors import ClusterError

ADDRESS_VARIABLE = "RAY_ADDRESS"
CONNECT_SECS = 5.0
"""How long a head node may take to accept a connection."""
ANSWER_SECS = 20.0
"""How long it may take to answer like Ray's control service."""


def meant(given: str | None) -> str:
    """Returns the address that a command means where it may give none: `auto` or `local` then."""
    return given or ("auto" if os.environ.get(ADDRESS_VARIABLE) else "local")


def find(address: str) -> str:
    """Returns `HOST:PORT` of a control service that answers.

    Args:
        address: `HOST:PORT`, or `auto` for what RAY_ADDRESS or `ray start` names.

    Raises:
        ClusterError: None is named, or it does not answer within 25 seconds.
    """
    shown = address
    if address == "auto":
        address = os.environ.get(ADDRESS_VARIABLE, "") or _started_here()
        shown = f"{address} (from {ADDRESS_VARIABLE} or 'ray start')"
    if not address or address in ("auto", "local"):
        raise ClusterError(
            "there is no Ray cluster to join",
            expected=f"{ADDRESS_VARIABLE} set, or a node started by 'ray start' on this machine",
            remedy="give --address HOST:PORT of the head node, or --address local to start one",
        )
    host, port = _parsed(address)
    try:
        socket.create_connection((host, port), CONNECT_SECS).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {shown}: {error.strerror or error}",
            expected="the address of a running head node",
            remedy="check it with 'ray status', or give --address local to start a cluster",
        ) from error
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _must_answer(target)
    return target


def _started_here() -> str:
    """The address that `ray start` left on this machine; empty where there is none.

    Not by looking for Ray's processes, as Ray does: they may be somebody else's.
    """
    folder = Path(os.environ.get("RAY_TMPDIR", "/tmp"))  # noqa: S108 - Ray's place, only read
    with contextlib.suppress(OSError):
        return (folder / "ray" / "ray_current_cluster").read_text().strip()
    return ""


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.removesuffix("/").rpartition(":")
    if "://" in address or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ClusterError(
            f"{address!r} is not the address of a Ray cluster to join",
            expected="auto, local, or HOST:PORT of the head node (often port 6379); addresses "
            "with :// belong to Ray's own client and job server",
            remedy="from outside the cluster: ray job submit --address http://HEAD:8265 -- "
            "catgan ...",
        )
    return host.strip("[]"), int(port)


def _must_answer(address: str) -> None:
    """Raises ClusterError unless Ray's control service answers soon.

    `ray.init` asks again and again for a quarter of an hour. One question in a thread can
    be given up.
    """
    answers: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def ask() -> None:
        from ray._raylet import GcsClient

        try:
            GcsClient(address=address)
            answers.put(None)
        except BaseException as error:
            answers.put(error)

    error: BaseException | None
    with silenced_stderr():
        threading.Thread(target=ask, daemon=True).start()
        try:
            error = answers.get(timeout=ANSWER_SECS)
        except queue.Empty:
            error = TimeoutError(f"nothing within {ANSWER_SECS:.0f} s")
    if error is not None:
        raise refused(address, error)


def refused(address: str, error: BaseException) -> ClusterError:
    """Returns in our words what Ray said when it refused to join."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    text = "\n".join(str(cause) for cause in causes)
    if "Version mismatch" in text:
        told = [line.strip() for line in text.split("Version mismatch", 1)[1].splitlines()]
        versions = [line for line in told if line.startswith(("Ray:", "Python:"))][:4]
        return ClusterError(
            f"the cluster at {address} runs {', '.join(versions[:2])}",
            expected=f"the versions of this program: {', '.join(versions[2:])}",
            remedy="install the cluster's versions here, or run from its image",
        )
    if "AuthToken" in text or "Unauthenticated" in text:
        return ClusterError(
            f"the cluster at {address} wants a token and got none, or another one",
            expected="the cluster's token, and RAY_AUTH_MODE=token",
            remedy="export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE",
        )
    if "No node info found" in text or "raylet" in text:
        return ClusterError(
            f"this machine is no node of the cluster at {address}",
            expected="to be started on one of its nodes",
            remedy="ray job submit --address http://HEAD:8265 -- catgan ..., or 'ray start "
            f"--address {address}' here first",
        )
    return ClusterError(
        f"the cluster at {address} cannot be joined: {last_line(causes[-1])}",
        expected="the control service of a Ray head node",
        remedy="check it with 'ray status'",
    )


def last_line(error: BaseException) -> str:
    """Returns the end of what an error says; Ray puts the cause there."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
