"""The connection to a Ray cluster: joining one, or starting one for this program alone.

Owns that the signals belong to this program while it is connected (Ray takes SIGTERM),
and that nothing of a cluster of its own is left. Does not own how a cluster is found
(`ray_address.py`), nor how the package gets there (`ray_package.py`).

Importing Ray takes a second, so nothing here does it before a connection is asked for.
"""

import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainer.errors import CatganError, ClusterError
from trainer.launch.ray_address import find, last_line, refused
from trainer.launch.ray_package import Package, runtime_env

log = logging.getLogger("catgan")

_STORE_BYTES = 256 * 2**20
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Removes a folder once its input ends. That also comes when this process is killed or its start
# of a cluster is cut, and then Ray's processes go on writing until they end as well.
_REMOVE_LATER = """
if read -r _; then rm -rf -- "$1"; exit; fi
for _ in 1 2 3 4 5; do sleep 1; rm -rf -- "$1"; done
"""


@dataclass(frozen=True)
class Connection:
    """A connected cluster.

    Attributes:
        address: `HOST:PORT` of its control service.
        is_own: It was started for this program and ends with it.
    """

    address: str
    is_own: bool


@dataclass(frozen=True)
class Node:
    """One living node.

    Attributes:
        id: Ray's, hexadecimal.
        host: Its name.
        ip: Its address.
        cpus: Cores that Ray gives out.
        gpus: GPUs that Ray gives out.
        is_here: The driver runs on the same host.
    """

    id: str
    host: str
    ip: str
    cpus: float
    gpus: float
    is_here: bool


@contextlib.contextmanager
def connected(
    address: str,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    package: Package = "code",
    extras: tuple[str, ...] = (),
    log_to_driver: bool = False,
) -> Iterator[Connection]:
    """Connects this process to a cluster while the block runs.

    A process that is connected already (a notebook's) stays so, and the block uses that.

    Args:
        address: `local`: a cluster of this machine for this program alone. `auto`: the one
            that RAY_ADDRESS names, or else that `ray start` started on this machine.
            `HOST:PORT`: that of a head node.
        cpus: Cores of a local cluster; default: those that this process may use.
        gpus: GPUs of a local cluster; default: those found.
        package: How this package gets to workers of a cluster that runs already; to a
            local one nothing has to be sent.
        extras: Optional requirements to send with `package="pip"`, such as `gpu`.
        log_to_driver: Show on standard error what workers write to theirs and to their output.

    Raises:
        ClusterError: No cluster can be reached or started, or its version is another.
    """
    # Read when Ray is imported; without it, it warns of a change in a later version.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield Connection(ray.get_runtime_context().gcs_address, is_own=False)
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_breakpoint_kept())
        target = None if address == "local" else find(address)
        options: dict[str, Any] = {"log_to_driver": log_to_driver, "logging_level": logging.ERROR}
        if target is None:
            options |= _local_options(cpus, gpus, stack)
        else:
            options |= {"address": target, "runtime_env": runtime_env(package, extras)}
        # Also after a failed start: what Ray had started by then has to go.
        stack.callback(_shut_down)
        stack.enter_context(_words_of_ray_in_the_log())
        _initialise(options, target)
        if not log_to_driver:
            stack.enter_context(_deaths_left_to_us())
        yield Connection(ray.get_runtime_context().gcs_address, is_own=target is None)


def nodes() -> list[Node]:
    """Returns the living nodes, the driver's first. Only inside `connected`."""
    import ray

    own_id = ray.get_runtime_context().get_node_id()
    alive = [node for node in ray.nodes() if node["Alive"]]
    own = next((node for node in alive if node["NodeID"] == own_id), None)
    found = []
    for node in alive:
        place = ("NodeManagerHostname", "NodeManagerAddress")
        # Containers may share a name, and network namespaces a machine: both have to agree.
        is_here = own is not None and all(node[key] == own[key] for key in place)
        given = node["Resources"]
        host, ip = (str(node[key]) for key in place)
        cpus, gpus = (float(given.get(kind, 0)) for kind in ("CPU", "GPU"))
        found.append(Node(str(node["NodeID"]), host, ip, cpus, gpus, is_here))
    return sorted(found, key=lambda node: (node.id != own_id, node.host, node.id))


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
def _breakpoint_kept() -> Iterator[None]:
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
def _words_of_ray_in_the_log() -> Iterator[None]:
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


def _local_options(
    cpus: int | None, gpus: int | None, stack: contextlib.ExitStack
) -> dict[str, Any]:
    cpus = cpus or len(os.sched_getaffinity(0))
    folder = _temporary_folder(stack)
    if not any(os.environ.get(f"RAY_AUTH_{name}") for name in ("MODE", "TOKEN", "TOKEN_PATH")):
        # Else Ray makes up a token all the same, and leaves it in the home folder.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    return {
        "address": "local",
        "num_cpus": cpus,
        "num_gpus": gpus,
        "include_dashboard": False,
        "object_store_memory": max(_STORE_BYTES, cpus * 2**24),
        # Ray's own 15 lets whatever else runs go before training: a fifth of a step was lost.
        "_system_config": {"worker_niceness": 0},
        "_temp_dir": folder,
    }


def _temporary_folder(stack: contextlib.ExitStack) -> str:
    """Makes a folder for Ray's files that goes with this process, however it ends."""
    folder = tempfile.mkdtemp(prefix="catgan-ray-", dir="/tmp")  # paths of sockets must be short
    remover = subprocess.Popen(
        ["/bin/sh", "-c", _REMOVE_LATER, "sh", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def remove(error: type[BaseException] | None, *_: Any) -> None:
        if error is None:
            remover.communicate(b"now\n")
        elif remover.stdin:
            remover.stdin.close()

    stack.push(remove)
    return folder


def _initialise(options: dict[str, Any], address: str | None) -> None:
    import ray

    try:
        with own_signals():
            ray.init(**options)
    except CatganError:
        raise
    except Exception as error:
        if address is None:
            raise ClusterError(
                f"no local Ray cluster can be started: {last_line(error)}",
                expected="room in /tmp and in memory, and free ports",
                remedy="look for other clusters on this machine with 'ps', or leave --address away",
            ) from error
        raise refused(address, error) from error


@contextlib.contextmanager
def _deaths_left_to_us() -> Iterator[None]:
    """Keeps Ray from printing what it thinks of dead workers: we say it in our own words.

    Its setting `log_to_driver` leaves these out. Where the private place has changed, they
    come again, beside ours.
    """
    import ray._private.worker as private

    kept = getattr(private, "print_to_stdstream", None)
    if kept is None or logging.getLogger("catgan").isEnabledFor(logging.DEBUG):
        yield
        return
    private.print_to_stdstream = lambda *told, **named: None
    try:
        yield
    finally:
        private.print_to_stdstream = kept


def _shut_down() -> None:
    import ray

    ray.shutdown(wait_for_processes=True)
