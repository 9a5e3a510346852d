"""infra/terraform, by a real Terraform or OpenTofu against a provider that only knows fields."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, SHARED
from tests.infra import checks, render
from trainer.launch.machines import MACHINES, ON_DEMAND, POOL_LABEL, QUEUED, SPOT

FOLDER = REPOSITORY / "infra" / "terraform"
SCHEMA = SHARED / "infra-checks" / "tfstub" / "google.json"
PROJECT = "a-project"


def binary() -> str:
    found = shutil.which("terraform") or shutil.which("tofu")
    if not found:
        pytest.skip("neither terraform nor tofu is installed")
    return found


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Terraform with the provider on loopback; skips where there is none."""
    for package in ("pyvider", "grpc", "msgpack"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; pip install --no-deps pyvider==0.8.1")
    if not SCHEMA.is_file():
        pytest.skip(f"the provider's fields are not at {SCHEMA}")
    stub = [sys.executable, "-m", "tests.infra.provider_stub", str(SCHEMA)]
    command = [*stub, binary(), f"-chdir={folder}", *words]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=200
    )


def copied(place: Path) -> Path:
    """The files alone: what `init` writes stays out of the checkout."""
    folder = place / "terraform"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    result = run(folder, "init", "-backend=false", "-input=false", "-no-color")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    return copied(tmp_path_factory.mktemp("infra"))


@pytest.fixture(scope="module")
def planned(ready) -> dict[str, Any]:
    """What would be made, with every pool that there may be."""
    pools = {
        machine.pool(kind): 2
        for machine in MACHINES
        for kind in (SPOT, ON_DEMAND, QUEUED)
        if not (kind == ON_DEMAND and machine.lasting != ON_DEMAND)
    }
    values = [f"-var=project={PROJECT}", f"-var=gpu_pools={json.dumps(pools)}", "-var=ray_up=true"]
    made = run(ready, "plan", "-input=false", "-no-color", "-refresh=false", "-out=plan", *values)
    assert made.returncode == 0, made.stdout + made.stderr
    shown = run(ready, "show", "-json", "plan")
    return json.loads(shown.stdout)


def made_of(planned: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    resources = planned["planned_values"]["root_module"]["resources"]
    return [one["values"] for one in resources if one["type"] == kind]


def test_it_is_written_as_terraform_writes():
    result = subprocess.run(
        [binary(), "fmt", "-check", "-recursive", str(FOLDER)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout


def test_it_is_valid(ready):
    result = run(ready, "validate", "-no-color")
    assert result.returncode == 0, result.stdout + result.stderr


def test_its_own_tests_pass(ready):
    result = run(ready, "test", "-no-color")
    assert result.returncode == 0, result.stdout
    assert re.search(r"\d+ passed, 0 failed", result.stdout)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_pools_are_those_that_manifests_ask_for(planned, machine):
    pools = {pool["name"]: pool for pool in made_of(planned, "google_container_node_pool")}
    for kind in (SPOT, machine.lasting, QUEUED):
        pool = pools[machine.pool(kind)]
        (node,) = pool["node_config"]
        assert node["machine_type"] == machine.machine_type
        assert node["guest_accelerator"][0]["type"] == machine.accelerator
        assert (node["spot"], node["flex_start"]) == (kind == SPOT, kind == QUEUED)
        assert machine.selector(kind)[POOL_LABEL] == node["labels"][POOL_LABEL]
        (taint,) = node["taint"]
        tolerated = machine.tolerations(kind)[0]
        assert (taint["key"], taint["value"]) == (tolerated["key"], tolerated["value"])


def test_there_is_a_pool_for_the_head_and_it_has_no_taint(planned):
    (head,) = [p for p in made_of(planned, "google_container_node_pool") if p["name"] == "head"]
    assert head["node_config"][0]["labels"] == {POOL_LABEL: "head"}
    assert not head["node_config"][0]["taint"]


def test_outputs_fit_what_the_config_wants(planned):
    told = {name: one.get("value") for name, one in planned["planned_values"]["outputs"].items()}
    assert told["run_address"].startswith("gs://")
    named = render.IMAGE.replace("REGION", "us-central1").replace("PROJECT", PROJECT)
    assert told["image"] == named


def test_pods_are_bound_to_the_account_that_the_manifests_name(planned):
    (account,) = checks.read_file(render.KUBERAY / "base" / "serviceaccount.yaml")
    place = account["metadata"]
    bindings = made_of(planned, "google_service_account_iam_member")
    (bound,) = [one for one in bindings if one["role"] == "roles/iam.workloadIdentityUser"]
    name = f"{place['namespace']}/{place['name']}"
    assert bound["member"] == f"serviceAccount:{PROJECT}.svc.id.goog[{name}]"
    accounts = {one["account_id"] for one in made_of(planned, "google_service_account")}
    email = place["annotations"]["iam.gke.io/gcp-service-account"]
    assert email.partition("@")[0] in accounts


def test_nobody_may_use_all_buckets_or_own_the_project(planned):
    roles = {one["role"] for one in made_of(planned, "google_project_iam_member")}
    assert roles == {"roles/container.defaultNodeServiceAccount", "roles/compute.instanceAdmin.v1"}
    on_bucket = {one["role"] for one in made_of(planned, "google_storage_bucket_iam_member")}
    assert on_bucket == {"roles/storage.objectUser"}


FAULTS = {
    "unknown field": ("pools.tf", "location_policy      =", "location_polisy      ="),
    "unknown block": ("cluster.tf", "workload_identity_config {", "workload_identity {"),
    "unknown kind": ("bucket.tf", '"google_storage_bucket"', '"google_storage_bukket"'),
    "unknown variable": ("bucket.tf", "var.region", "var.regions"),
    "unknown account": (
        "accounts.tf",
        "google_service_account.job.email",
        "google_service_account.jobs.email",
    ),
    "text for a number": ("pools.tf", "disk_size_gb    = 200", 'disk_size_gb    = "large"'),
    "a field left out": ("bucket.tf", "location                    = var.region", ""),
    "a block twice": (
        "bucket.tf",
        "  versioning {",
        "  versioning {\n    enabled = true\n  }\n  versioning {",
    ),
}
# What Terraform takes and our own tests do not.
BROKEN_PROMISES = {
    "a rule that deletes checkpoints": (
        "bucket.tf",
        'with_state         = "ARCHIVED"',
        'with_state         = "ANY"',
    ),
    "an open bucket": ("bucket.tf", '"enforced"', '"inherited"'),
    "too great a role": ("accounts.tf", '"roles/storage.objectUser"', '"roles/storage.admin"'),
    "another taint": ("pools.tf", "value  = each.key", "value  = each.value.gpu"),
    "a pool that is never empty": (
        "pools.tf",
        "total_min_node_count = 0",
        "total_min_node_count = 1",
    ),
    "spot without time": ("pools.tf", "shutdown_grace_period_seconds               = var", "# "),
}


def with_fault(ready: Path, place: Path, fault: tuple[str, str, str]) -> Path:
    name, old, new = fault
    folder = place / "terraform"
    shutil.copytree(ready, folder)
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


QUICK = ("unknown field", "text for a number")


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS],
)
def test_a_fault_is_told_by_terraform(ready, tmp_path, name):
    assert run(with_fault(ready, tmp_path, FAULTS[name]), "validate", "-no-color").returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN_PROMISES)
def test_a_broken_promise_is_told_by_its_tests(ready, tmp_path, name):
    assert run(with_fault(ready, tmp_path, BROKEN_PROMISES[name]), "test").returncode != 0
