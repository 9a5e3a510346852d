"""Workers that Ray starts find each other, on ports that nobody else was given."""

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.launch import ray_backend

ROOT = Path(__file__).resolve().parents[2]
IP_LOCAL_PORT_RANGE = 51  # of IPPROTO_IP, Linux 6.3 and later

# Asks, in another process, for a port as programs do; prints it or the error's number.
ASKS = f"""
import socket, struct, sys
how, port = sys.argv[1], int(sys.argv[2])
asking = socket.socket()
if how == "any of one":
    asking.setsockopt(socket.IPPROTO_IP, {IP_LOCAL_PORT_RANGE}, struct.pack("I", port << 16 | port))
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
elif how == "the same, shared":
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
try:
    asking.bind((sys.argv[3], 0 if how == "any of one" else port))
    print(asking.getsockname()[1])
except OSError as error:
    print(-error.errno)
"""


@pytest.fixture
def held_port() -> Iterator[int]:
    yield int(ray_backend.reserve_port().rpartition(":")[2])
    ray_backend.release_port()


def ask(how: str, port: int, address: str = "0.0.0.0") -> int:
    done = subprocess.run(
        [sys.executable, "-c", ASKS, how, str(port), address],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout)


def needs_port_ranges() -> None:
    with socket.socket() as probe:
        try:
            probe.setsockopt(
                socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", 40001 << 16 | 40000)
            )
        except OSError:
            pytest.skip("this kernel cannot narrow the range of free ports for one socket")


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
def test_a_held_port_is_not_given_to_who_asks_for_any(held_port, address):
    needs_port_ranges()
    assert ask("any of one", held_port, address) < 0, "the only free port there is, is held"
    ray_backend.release_port()
    assert ask("any of one", held_port, address) == held_port


@pytest.mark.parametrize("how", ["the same", "the same, shared"])
def test_a_held_port_is_refused_to_who_asks_for_it(held_port, how):
    assert ask(how, held_port) < 0
    ray_backend.release_port()
    assert ask(how, held_port) == held_port


def test_connections_reach_the_one_that_listens(held_port):
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("", held_port))
        listening.listen()
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", held_port), timeout=10) as client:
                accepted, peer = listening.accept()
                assert peer == client.getsockname()
                accepted.close()


def test_two_reservations_of_one_process_leave_one(held_port):
    again = int(ray_backend.reserve_port().rpartition(":")[2])
    assert ask("the same", again) < 0
    before = len(os.listdir("/proc/self/fd"))
    ray_backend.reserve_port()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_environment_of_a_worker(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "7")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
    monkeypatch.setenv("TF_CONFIG", "of somebody else")
    variables = ray_backend.thread_variables(3)
    ray_backend.prepare_worker(["10.0.0.1:4000", "[fd00::2]:4001"], 1, variables)
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
    assert os.environ["TF_NUM_INTEROP_THREADS"] == "7", "what a person has set stays"
    assert json.loads(os.environ["TF_CONFIG"]) == {
        "cluster": {"worker": ["10.0.0.1:4000", "[fd00::2]:4001"]},
        "task": {"type": "worker", "index": 1},
    }


def test_the_trainer_is_imported_without_tensorflow_and_with_legacy_keras_set():
    code = (
        "import sys\n"
        "from trainer.launch.ray_backend import tensorflow_trainer\n"
        "from trainer.launch.ray_backend import HeldPorts\n"
        "trainer = tensorflow_trainer()(print, tensorflow_config=HeldPorts())\n"
        "assert 'tensorflow' not in sys.modules\n"
        "import keras, tensorflow as tf\n"
        "from ray.train.tensorflow import TensorflowTrainer\n"
        "print(isinstance(trainer, TensorflowTrainer), tf.keras.__version__ == keras.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr[-2000:]


def train_function() -> dict:
    """What a worker finds, and a sum over all workers while its port is still held."""
    held = ray_backend._held
    was_held = held is not None and held.getsockname()[1]
    import keras
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    told = json.loads(os.environ["TF_CONFIG"])
    rank = told["task"]["index"]

    def add(value):
        return strategy.run(
            lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(value))
        )

    while_held = float(add(10.0**rank))
    ray_backend.release_port()
    return {
        "while_held": while_held,
        "after": float(add(10.0**rank)),
        "keras": [keras.__version__, tf.keras.__version__],
        "keras_3": tf.keras.layers.Dense is keras.layers.Dense,
        "legacy": os.environ.get("TF_USE_LEGACY_KERAS"),
        "own_port": was_held == int(told["cluster"]["worker"][rank].rpartition(":")[2]),
        "ports": len({address.rpartition(":")[2] for address in told["cluster"]["worker"]}),
        "replicas": strategy.num_replicas_in_sync,
        "intra": tf.config.threading.get_intra_op_parallelism_threads()
        or os.environ["TF_NUM_INTRAOP_THREADS"],
    }


@pytest.mark.cluster
@pytest.mark.parametrize("workers", [2, 1])
def test_tensorflow_finds_its_peers(workers, tmp_path, monkeypatch):
    import ray
    from ray.train import RunConfig, ScalingConfig

    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        trainer = ray_backend.tensorflow_trainer()(
            train_function,
            tensorflow_config=ray_backend.HeldPorts(cpus_per_worker=1),
            scaling_config=ScalingConfig(num_workers=workers),
            run_config=RunConfig(name="start-0001", storage_path=str(tmp_path)),
        )
        found = trainer.fit().return_value
    finally:
        ray.shutdown()
    assert found["while_held"] == found["after"] == sum(10.0**rank for rank in range(workers))
    assert found["keras_3"]
    assert found["keras"][0] == found["keras"][1]
    assert found["keras"][0].startswith("3.")
    assert found["legacy"] is None
    assert found["own_port"]
    assert found["replicas"] == found["ports"] == workers
    assert str(found["intra"]) == "1"
