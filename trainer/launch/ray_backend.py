"""How Ray Train prepares its workers for TensorFlow.

Owns the backend that Ray runs on all workers before the train function: who the workers
are (TF_CONFIG), the ports they will listen on, and the variables that count only before
TensorFlow is imported. Does not import TensorFlow: the train function does. Does not own
devices and memory growth, see `trainer.device`.

Ray's own backend is not used, because it looks for a free port and lets it go again, so
that anybody may take it before TensorFlow does, and because it sets TF_USE_LEGACY_KERAS,
which breaks `tf.keras` where only Keras 3 is installed.
"""

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig

from trainer import quiet
from trainer.launch import termination

LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
_held: socket.socket | None = None


@dataclass
class HeldPorts(BackendConfig):
    """Gives each worker TF_CONFIG and a port that nobody else can have.

    For `TensorflowTrainer(tensorflow_config=HeldPorts(...))`.

    Attributes:
        cpus_per_worker: Cores of each worker, for TensorFlow's thread pools.
    """

    cpus_per_worker: int = 1

    # Ray's property `framework` stays None: Ray would import TensorFlow on the first worker
    # while all others wait, to note its version.

    @property
    def backend_cls(self) -> type[Backend]:
        """The class that does it."""
        return HeldPortsBackend

    def to_dict(self) -> dict[str, Any]:
        """Returns what Ray's dashboard shows."""
        return {"cpus_per_worker": self.cpus_per_worker}


class HeldPortsBackend(Backend):
    """See `HeldPorts`."""

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Runs in Ray's controller when all worker processes are there."""
        if not isinstance(backend_config, HeldPorts):
            raise TypeError(f"{type(backend_config).__name__} is not HeldPorts")
        addresses = worker_group.execute(reserve_port)
        variables = thread_variables(backend_config.cpus_per_worker)
        ray.get(
            [
                worker_group.execute_single_async(rank, prepare_worker, addresses, rank, variables)
                for rank in range(len(worker_group))
            ]
            + worker_group.execute_async(termination.listen)
        )


def reserve_port() -> str:
    """Takes a free port of this machine and holds it until `release_port`.

    The socket is bound and does not listen. With SO_REUSEADDR on both, Linux lets
    TensorFlow's server bind the same port beside it and listen, which a socket with
    SO_REUSEPORT would not allow (TensorFlow's server switches that off), and connections
    reach the one that listens. Whoever asks for *any* free port, or connects from one, is
    never given this one; whoever asks for this very number is refused unless they set
    SO_REUSEADDR too.

    Returns:
        `address:port`, as other machines reach it.
    """
    global _held
    release_port()
    _held = _bound_to_all()
    ip = ray.util.get_node_ip_address()
    return f"[{ip}]:{_port_of(_held)}" if ":" in ip else f"{ip}:{_port_of(_held)}"


def release_port() -> None:
    """Lets the held port go, once TensorFlow's server listens on it (the strategy is made)."""
    global _held
    if _held is not None:
        _held.close()
        _held = None


def _port_of(held: socket.socket) -> int:
    return held.getsockname()[1]


def _bound_to_all() -> socket.socket:
    """A socket on a free port of all addresses, old and new: TensorFlow will want them all."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("", 0))
    except BaseException:
        held.close()
        raise
    return held


def thread_variables(cpus: int) -> dict[str, str]:
    """Returns the variables that size TensorFlow's thread pools for so many cores.

    The pool that runs operations beside each other has two threads at least: a collective
    that waits for other workers must not keep the next one from starting.
    """
    return {
        "TF_NUM_INTRAOP_THREADS": str(cpus),
        "TF_NUM_INTEROP_THREADS": str(max(2, cpus)),
    }


def prepare_worker(addresses: list[str], rank: int, variables: Mapping[str, str]) -> None:
    """Sets this process's variables. What the person has set already stays.

    Args:
        addresses: `address:port` of all workers, by rank.
        rank: Of this worker.
        variables: Set unless they are there.
    """
    allow_keras_3()
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
    )
    for key, value in variables.items():
        os.environ.setdefault(key, value)


def allow_keras_3() -> None:
    """Takes TF_USE_LEGACY_KERAS out of this process's environment.

    With it `tf.keras` looks for Keras 2, and the import of `ray.train.tensorflow` calls
    itself until Python gives up.
    """
    os.environ.pop(LEGACY_KERAS, None)


def tensorflow_trainer() -> type:
    """Returns `ray.train.tensorflow.TensorflowTrainer`, to be given a `tensorflow_config`.

    Imported where Ray says, and made as Ray makes it, it brings TensorFlow along: seconds, and
    most of a gigabyte, in a driver which has no use for it. So it is taken from where it is
    defined, if it is there, and without the default for `tensorflow_config`.
    """
    allow_keras_3()
    try:
        from ray.train.v2.tensorflow.tensorflow_trainer import TensorflowTrainer
    except ImportError:
        quiet.import_without_gpu()
        from ray.train.tensorflow import TensorflowTrainer

        return TensorflowTrainer

    class Trainer(TensorflowTrainer):
        def __init__(self, train_loop_per_worker: Any, *, tensorflow_config: Any, **told: Any):
            super(TensorflowTrainer, self).__init__(
                train_loop_per_worker, backend_config=tensorflow_config, **told
            )

        def _create_default_callbacks(self) -> list:
            return _callbacks_that_end(super()._create_default_callbacks())

    return Trainer


def _callbacks_that_end(made: list) -> list:
    """Leaves out of Ray's own callbacks the cleaner, where its process would stay for ever.

    It outlives the driver, and asks the dashboard whether that is gone. Without a dashboard it
    never learns; what it would clean up ends with the driver's job in any case.
    """
    if _has_dashboard():
        return made
    return [callback for callback in made if "PlacementGroupCleaner" not in type(callback).__name__]


def _has_dashboard() -> bool:
    with contextlib.suppress(Exception):  # a private place: where it has changed, Ray shall do
        return bool(ray._private.worker.global_worker.node.webui_url)
    return True


def lost_its_port(error: BaseException) -> bool:
    """Whether a strategy could not be made because somebody else listens on the held port.

    TensorFlow says so in its text only. The start may simply be tried again.
    """
    return "Could not start gRPC server" in str(error)
