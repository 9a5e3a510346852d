"""Whether a cluster's nodes have the same program, room for the workers, and usable GPUs.

Owns what is asked of every node, as a Ray task there. Only inside `ray_cluster.connected`.
"""

import platform
from collections.abc import Iterator
from typing import Any

from trainer.config import Config
from trainer.errors import ClusterError
from trainer.launch.finding import Finding, failure, ok, warning
from trainer.launch.ray_package import Mark, training_mark

ANSWER_SECS = 180.0
"""How long a node may take: it may have to fetch the program first, and import TensorFlow."""


def described() -> dict[str, str]:
    """Returns the versions of this process, by name."""
    libraries = {name: version or "missing" for name, version in training_mark().libraries}
    return {"python": platform.python_version(), **libraries}


def here() -> Finding:
    """The versions of this machine."""
    return ok("versions here", ", ".join(f"{k} {v}" for k, v in described().items()))


def versions(expected: Mark) -> Iterator[Finding]:
    """Compares the program and its libraries on every node with those here."""
    answers = _ask_every_node(_look_at_versions, expected)
    same = [host for host, error in answers.items() if error is None]
    for host, error in answers.items():
        if error is not None:
            yield failure(f"versions on {host}", error)
    if same:
        yield ok("versions there", f"the same on {', '.join(sorted(same))}")


def _look_at_versions(expected: Mark) -> ClusterError | None:
    from trainer.launch.ray_package import must_match

    try:
        must_match(expected)
    except ClusterError as error:
        return error
    return None


def room(config: Config) -> Iterator[Finding]:
    """Counts the places for workers; none too few is a failure."""
    from trainer.launch import room as places

    nodes, need = places.node_rooms(), config.cluster
    free, capacity = (places.places(nodes, need, free=flag) for flag in (True, False))
    if capacity < need.min_workers:
        yield failure("room", places.missing(nodes, need, 0.0))
    elif free < need.min_workers:
        yield warning(
            "room",
            f"{places.told(nodes, need)}: others use it now",
            f"the run would wait up to cluster.start_timeout_secs={need.start_timeout_secs:g}",
        )
    else:
        yield ok("room", f"for {free} workers now, {capacity} in all; asked: {need.workers}")


def gpus(config: Config) -> Iterator[Finding]:
    """Lets TensorFlow look for the GPU on every node that has one."""
    if not config.cluster.gpus_per_worker:
        yield ok("GPUs", "none asked for (cluster.gpus_per_worker=0)")
        return
    answers = _ask_every_node(look_at_gpu, gpus=1)
    for host, answer in answers.items():
        yield from gpu_findings(host, answer)


def gpu_findings(host: str, answer: Any) -> Iterator[Finding]:
    """Judges what `look_at_gpu` found on a host, or the error that it ended with."""
    name = f"GPU on {host}"
    if isinstance(answer, ClusterError):
        yield failure(name, answer)
        return
    built, driver = answer["built"], answer["driver"]
    wants = f"this TensorFlow wants CUDA {built['cuda']}, cuDNN {built['cudnn']}"
    if not built["cuda"]:
        yield failure(
            name,
            ClusterError(
                "TensorFlow there was built without CUDA",
                expected="tensorflow[and-cuda]",
                remedy="pip install 'tensorflow[and-cuda]' on the nodes, or use the image of "
                "infra/docker",
            ),
        )
    elif not answer["seen"]:
        why = f"driver {driver}" if driver else "no NVIDIA driver answers"
        yield failure(
            name,
            ClusterError(
                f"TensorFlow sees no GPU: {why}; {wants}",
                expected=f"a driver for CUDA {built['cuda']} and the libraries of "
                "tensorflow[and-cuda]",
                remedy="install the newest driver of the node's system, and 'tensorflow[and-cuda]'",
            ),
        )
    else:
        yield ok(name, f"{', '.join(answer['seen'])}, driver {driver or 'unknown'}; {wants}")


def look_at_gpu() -> dict[str, Any]:
    """Returns what TensorFlow sees in this process, what it was built for, and the driver."""
    from trainer import quiet

    tf = quiet.import_tensorflow()
    built = tf.sysconfig.get_build_info()
    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return {
        "seen": [str(d.get("device_name", "a GPU")) for d in details],
        "built": {
            "cuda": str(built.get("cuda_version", "")),
            "cudnn": str(built.get("cudnn_version", "")),
        },
        "driver": _driver(),
    }


def _driver() -> str:
    """The version of NVIDIA's driver; "" where its own program does not answer."""
    import subprocess

    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.splitlines()[0].strip() if answer.stdout.strip() else ""


def _ask_every_node(question: Any, *arguments: Any, gpus: int = 0) -> dict[str, Any]:
    """Asks each node that could hold a worker; an answer that does not come is a ClusterError."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from trainer.launch.ray_cluster import nodes

    asked = {}
    for node in nodes():
        if node.cpus < 1 or node.gpus < gpus:
            continue
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        task = ray.remote(num_cpus=0, num_gpus=gpus, max_retries=0, scheduling_strategy=there)
        asked[f"{node.host} ({node.ip}, {node.id[:6]})"] = task(question).remote(*arguments)
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECS) if asked else None
    return {host: _answer(host, reference) for host, reference in asked.items()}


def _answer(host: str, reference: Any) -> Any:
    import ray

    from trainer.launch.ray_address import last_line

    try:
        return ray.get(reference, timeout=0.1)
    except Exception as error:
        return ClusterError(
            f"{host} gave no answer: {last_line(error)}",
            expected=f"one within {ANSWER_SECS:.0f} s",
            remedy="cluster.package=code sends the program to the nodes; with none, their image "
            "must have it",
        )
