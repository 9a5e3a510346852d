"""W workers equal one (C4), with plain processes, and without Ray."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

STEPS = 20
COMMON = [
    "precision=float64",
    "dataset.size_px=32",
    "dataset.lanes=3",
    "model.base_channels=4",
    "training.global_batch=6",
    "loss.penalty_every_steps=4",
]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _train(folder, world_size: int, overrides: list[str]) -> list[dict[str, np.ndarray]]:
    """Trains in `world_size` processes and returns each rank's state."""
    folder.mkdir(parents=True)
    workers = [f"127.0.0.1:{port}" for port in _free_ports(world_size)]
    processes = []
    for rank in range(world_size):
        environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1"}
        if world_size > 1:
            task = {"type": "worker", "index": rank}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
        command = [sys.executable, "-m", "tests.distribution_worker", str(folder), str(STEPS)]
        processes.append(
            subprocess.Popen(
                [*command, *COMMON, *overrides],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        for process in processes:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == 0, output[-3000:]
    finally:
        for process in processes:
            process.kill()
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(world_size)]


def _assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], where: str) -> None:
    assert one.keys() == other.keys()
    for name in one:
        # Figures are logged in float32.
        tolerance = 1e-6 if name.startswith(("figure/", "adaptive/")) else 1e-10
        np.testing.assert_allclose(
            one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=f"{where}: {name}"
        )


CASES = {
    "pairing": [],
    "several steps a call": ["training.steps_per_call=5"],
    "synchronised batch norm": [
        "model.generator_norm=batch",
        "model.discriminator_norm=batch",
        "loss.name=non_saturating",
        "loss.r1_weight=0",
        "loss.r2_weight=0",
    ],
    "penalties beside batch norm in G": ["model.generator_norm=batch"],
    "in parts, simultaneous": ["training.micro_batch=1", "training.update=simultaneous"],
}


@pytest.mark.parametrize("case", CASES)
def test_two_workers_with_uneven_rows_equal_one(tmp_path, case):
    alone = _train(tmp_path / "one", 1, CASES[case])[0]
    several = _train(tmp_path / "two", 2, CASES[case])
    for rank, state in enumerate(several):
        _assert_same(alone, state, f"rank {rank}")
    # Twenty steps have moved every trained tensor, so equality is not that of zeros.
    assert all(np.any(v != 0) for n, v in alone.items() if n.startswith("generator_optimizer/m"))


@pytest.mark.slow
def test_three_workers_equal_one(tmp_path):
    alone = _train(tmp_path / "one", 1, [])[0]
    for rank, state in enumerate(_train(tmp_path / "three", 3, [])):
        _assert_same(alone, state, f"rank {rank}")


def test_a_difference_is_seen(tmp_path):
    """The comparison can fail: another batch norm choice is not equal."""
    local = [*CASES["synchronised batch norm"], "model.batch_norm=local"]
    alone = _train(tmp_path / "one", 1, local)[0]
    several = _train(tmp_path / "two", 2, local)
    with pytest.raises(AssertionError):
        _assert_same(alone, several[0], "local statistics")
