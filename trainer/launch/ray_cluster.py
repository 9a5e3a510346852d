"""The connection to a Ray cluster: joining one, or starting one for this program alone.

Owns that nothing of a cluster of its own is left. Does not own how a cluster is found
(`ray_address.py`), how the package gets there (`ray_package.py`), nor that signals and
output stay with this program (`ray_restraint.py`).

Importing Ray takes a second, so nothing here does it before a connection is asked for.
"""

import contextlib
import logging
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainer.config.cluster import ClusterSettings
from trainer.errors import CatganError, ClusterError
from trainer.launch.ray_address import find, last_line, refused
from trainer.launch.ray_package import Package, extras_for, runtime_env
from trainer.launch.ray_restraint import (
    breakpoint_kept,
    deaths_left_to_us,
    own_signals,
    words_of_ray_in_the_log,
)

log = logging.getLogger("catgan")

_STORE_BYTES = 256 * 2**20
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
        stack.enter_context(breakpoint_kept())
        target = None if address == "local" else find(address)
        options: dict[str, Any] = {"log_to_driver": log_to_driver, "logging_level": logging.ERROR}
        if target is None:
            options |= _local_options(cpus, stack)
        else:
            options |= {"address": target, "runtime_env": runtime_env(package, extras)}
        # Also after a failed start: what Ray had started by then has to go.
        stack.callback(_shut_down)
        stack.enter_context(words_of_ray_in_the_log())
        _initialise(options, target)
        if not log_to_driver:
            stack.enter_context(deaths_left_to_us())
        yield Connection(ray.get_runtime_context().gcs_address, is_own=target is None)


def connected_for(
    settings: ClusterSettings, address: str
) -> contextlib.AbstractContextManager[Connection]:
    """Connects for the workers of a config, see `connected`.

    A cluster of this machine gets a core for each that they ask for, there or not.

    Args:
        settings: The config's `cluster` section.
        address: See `connected`.
    """
    cores = max(len(os.sched_getaffinity(0)), settings.max_workers * settings.cpus_per_worker)
    extras = extras_for(settings)
    return connected(address, cpus=cores, package=settings.package, extras=extras)


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


def _local_options(cpus: int | None, stack: contextlib.ExitStack) -> dict[str, Any]:
    cpus = cpus or len(os.sched_getaffinity(0))
    folder = _temporary_folder(stack)
    if not any(os.environ.get(f"RAY_AUTH_{name}") for name in ("MODE", "TOKEN", "TOKEN_PATH")):
        # Else Ray makes up a token all the same, and leaves it in the home folder.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    return {
        "address": "local",
        "num_cpus": cpus,
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


def _shut_down() -> None:
    import ray

    ray.shutdown(wait_for_processes=True)
