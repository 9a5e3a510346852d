"""Each check can fail: faults are put into a good manifest, one at a time, and must be told."""

import copy
from typing import Any

import pytest

from tests.infra import checks, render
from trainer.launch import kuberay

JOB = "spec.rayClusterSpec"
HEAD = f"{JOB}.headGroupSpec"
WORKERS = f"{JOB}.workerGroupSpecs.0"
POD = f"{WORKERS}.template.spec"
CONTAINER = f"{POD}.containers.0"
GONE = object()

# What is wrong: (where, what is put there, words of the answer).
FAULTS: dict[str, tuple[str, Any, str]] = {
    "wrong kind": ("kind", "RayJobs", "no such kind"),
    "wrong version": ("apiVersion", "ray.io/v2", "no such kind"),
    "no spec of the head": (HEAD, GONE, "headGroupSpec"),
    "no name of a group": (f"{WORKERS}.groupName", GONE, "groupName"),
    "unknown field of the job": ("spec.retries", 3, "retries"),
    "unknown field of a group": (f"{WORKERS}.replica", 3, "replica"),
    "unknown field of a pod": (f"{POD}.nodeSelectors", {}, "nodeSelectors"),
    "unknown field of a container": (f"{CONTAINER}.enviroment", [], "enviroment"),
    "bad mode of submission": ("spec.submissionMode", "Sidecar", "submissionMode"),
    "a mode that loses jobs": ("spec.submissionMode", "SidecarMode", "SidecarMode"),
    "bad version of the autoscaler": (f"{JOB}.autoscalerOptions.version", "v3", "v3"),
    "bad mode of authentication": (f"{JOB}.authOptions.mode", "password", "password"),
    "no authentication": (f"{JOB}.authOptions", GONE, "authOptions.mode token"),
    "authentication with an old Ray": (f"{JOB}.rayVersion", "2.40.0", "2.52"),
    "a gate that is off": (f"{JOB}.networkPolicy", {}, "gate"),
    "text for a number": (f"{WORKERS}.maxReplicas", "eight", "eight"),
    "a number for text": (f"{CONTAINER}.env.0.value", 5, "5"),
    "bad quantity": (f"{CONTAINER}.resources.limits.memory", "16 GB", "16 GB"),
    "too long a name": ("metadata.name", "a" * 48, "47"),
    "a name with a capital": ("metadata.name", "Catgan", "name"),
    "a variable twice": (f"{CONTAINER}.env.1.name", "XDG_CACHE_HOME", "twice"),
    "a port twice": (f"{HEAD}.template.spec.containers.0.ports.1.containerPort", 6379, "twice"),
    "a mount without a volume": (f"{CONTAINER}.volumeMounts.0.name", "scrach", "scrach"),
    "groups of one name": (f"{WORKERS}.groupName", "l4-on-demand", "one name"),
    "more at least than at most": (f"{WORKERS}.minReplicas", 9, "minReplicas 9"),
    "less than none": (f"{WORKERS}.minReplicas", -1, "minReplicas -1"),
    "pods that start again": (f"{POD}.restartPolicy", "Always", "restartPolicy Never"),
    "resources in two places": (f"{HEAD}.resources", {"CPU": "2"}, "rayStartParams"),
    "labels in the wrong place": (f"{WORKERS}.rayStartParams.labels", "a=b", "labels"),
    "work on the head": (f"{HEAD}.rayStartParams.num-cpus", "2", "num-cpus"),
    "an end that nothing needs": ("spec.shutdownAfterJobFinishes", False, "ttlSeconds"),
    "no deadline": ("spec.activeDeadlineSeconds", GONE, "activeDeadlineSeconds"),
    "no cluster": (JOB, GONE, "one of rayClusterSpec"),
    "no container": (f"{POD}.containers", [], "no container"),
    "a secret written out": (f"{CONTAINER}.env.0.name", "API_KEY", "API_KEY"),
    "root": (f"{CONTAINER}.securityContext.runAsUser", 0, "root"),
    "maybe root": (f"{CONTAINER}.securityContext.runAsNonRoot", False, "root"),
    "capabilities": (f"{CONTAINER}.securityContext.capabilities", GONE, "ALL"),
    "escalation": (
        f"{CONTAINER}.securityContext.allowPrivilegeEscalation",
        True,
        "allowPrivilegeEscalation",
    ),
    "an autoscaler with rights": (f"{JOB}.autoscalerOptions.securityContext", GONE, "autoscaler"),
    "no seccomp": (f"{CONTAINER}.securityContext.seccompProfile.type", "Unconfined", "seccomp"),
    "the host's network": (f"{POD}.hostNetwork", True, "the host"),
    "a folder of the host": (
        f"{POD}.volumes.0",
        {"name": "scratch", "hostPath": {"path": "/"}},
        "host",
    ),
    "a hook before the drain": (
        f"{CONTAINER}.lifecycle",
        {"preStop": {"exec": {"command": ["ray", "stop"]}}},
        "hook",
    ),
    "bad effect of a toleration": (f"{POD}.tolerations.0.efect", "NoSchedule", "efect"),
}


def changed(item: checks.Object, where: str, value: Any) -> checks.Object:
    """A copy with one value put in, or taken out."""
    copied = copy.deepcopy(item)
    *way, last = where.split(".")
    place: Any = copied
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    key: Any = int(last) if isinstance(place, list) else last
    if value is GONE:
        del place[key]
    else:
        place[key] = value
    return copied


@pytest.fixture(scope="module")
def job() -> checks.Object:
    plan = render.plan_of(render.CONFIG, *render.OVERRIDES)
    return checks.only(checks.read(kuberay.to_yaml(kuberay.manifest(plan))), "RayJob")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_job_is_told(job, name):
    where, value, words = FAULTS[name]
    assert checks.problems(job) == []
    found = checks.problems(changed(job, where, value))
    assert any(words in text for text in found), found


@pytest.mark.parametrize(
    ("file", "where", "value"),
    [
        ("base/namespace.yaml", "metadata.label", {}),
        ("base/networkpolicy.yaml", "spec.policyTypes", "Ingress"),
        ("base/poddisruptionbudget.yaml", "spec.minAvailible", 1),
        ("base/serviceaccount.yaml", "automount", False),
        ("kueue/flavors.yaml", "spec.nodeLabels", ["head"]),
        ("kueue/queues.yaml", "spec.queueingStrategy", "Fifo"),
        ("kueue/queues.yaml", "spec.cohort", "all"),
        ("kueue/queues.yaml", "spec.resourceGroups.0.flavors.1.name", "head"),
        ("kueue/queues.yaml", "spec.resourceGroups.0.flavors.0.resources.0.nominalQuota", "many"),
    ],
)
def test_a_fault_in_what_is_written_by_hand_is_told(file, where, value):
    item = checks.read_file(render.KUBERAY / file)[0]
    assert checks.problems(item) == []
    assert checks.problems(changed(item, where, value)) != []


def test_two_objects_of_one_name_are_told(job):
    assert any("twice" in text for text in checks.all_problems([job, job]))
