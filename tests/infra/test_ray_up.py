"""The cluster file for `ray up`: Ray's schema and own check, and Google's for its machines.

Ray's schema says nothing of the provider and of `node_config`, so Compute's does.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.infra import render, schemas
from tests.infra.test_faults import GONE, changed
from trainer.launch.machines import MACHINES

PATH = REPOSITORY / "infra" / "gcp" / "cluster.yaml"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load(PATH.read_text(encoding="utf-8"))


def wrong(cluster: dict[str, Any]) -> list[str]:
    """What Ray or Google would refuse."""
    import ray
    from ray.autoscaler._private.util import prepare_config, validate_config

    text = (Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text("utf-8")
    found = _told(json.loads(text), cluster)
    compute = json.loads((schemas.folder() / "gce-instance-v1.json").read_text(encoding="utf-8"))
    for kind in cluster["available_node_types"].values():
        found += _told(compute, kind.get("node_config", {}))
    try:
        validate_config(prepare_config(cluster))
    except Exception as error:
        # Ray raises whatever its parts raise; the words are what counts.
        found.append(f"Ray: {error}")
    return found


def _told(schema: dict[str, Any], value: Any) -> list[str]:
    validator = schemas.jsonschema.Draft7Validator(schema)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def test_ray_and_google_take_it(cluster):
    assert wrong(cluster) == []


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("idle_timeout_minutes", "five"),
        ("max_worker", 8),
        ("head_node_type", "heads"),
        ("docker.images", "x"),
        ("available_node_types.l4-spot.node_config.machineTypes", "g2-standard-12"),
        ("available_node_types.l4-spot.node_config.scheduling.provisioningModel", "CHEAP"),
        ("available_node_types.l4-spot.node_config.scheduling.automaticRestart", "no"),
        ("available_node_types.l4-spot.node_config.disks.0.initializeParams.diskSizeGB", "9"),
        ("available_node_types.l4-spot.max_workers", "all"),
        ("available_node_types.l4-spot.min_workers", 99),
        ("provider.type", GONE),
    ],
)
def test_a_fault_is_told(cluster, where, value):
    assert wrong(changed(cluster, where, value)) != []


def test_workers_are_the_machines_that_the_program_knows(cluster):
    worker = cluster["available_node_types"]["l4-spot"]
    (machine,) = [one for one in MACHINES if one.name == "L4"]
    assert worker["node_config"]["machineType"] == machine.machine_type
    assert worker["resources"] == {"CPU": machine.cpus, "GPU": 1, "accelerator_type:L4": 1}
    assert cluster["docker"]["image"] == render.IMAGE


def test_machines_run_as_our_accounts_and_only_workers_may_be_taken_back(cluster):
    head, worker = (
        cluster["available_node_types"][name]["node_config"] for name in ("head", "l4-spot")
    )
    assert "scheduling" not in head
    assert worker["scheduling"]["provisioningModel"] == "SPOT"
    accounts = [node["serviceAccounts"][0]["email"].partition("@")[0] for node in (head, worker)]
    assert accounts == ["catgan-ray-head", "catgan"]
    assert "accessConfigs" not in worker["networkInterfaces"][0]


def test_the_token_is_asked_for_and_not_written(cluster):
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert "/home/ray/.ray/auth_token" in cluster["file_mounts"]
    assert "RAY_AUTH_TOKEN" not in PATH.read_text(encoding="utf-8")


def test_the_dashboard_is_reached_through_ssh_only(cluster):
    (start,) = [line for line in cluster["head_start_ray_commands"] if "--head" in line]
    assert "--dashboard-host=127.0.0.1" in start
