"""What only KubeRay's operator refuses, and what makes our own objects fit each other.

Owns rules that no schema can say, stated anew from the operator's behaviour (version 1.7.0),
and the standard that Kubernetes calls restricted, as far as our pods can break it.
"""

import re
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

LONGEST = {"RayJob": 47, "RayCluster": 53}
GATED = ("networkPolicy", "tlsOptions", "historyServerOptions")
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LITERAL_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE", re.IGNORECASE)
_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}


def clusters_of(item: Object) -> list[Object]:
    """The RayCluster in an object: one, or none."""
    if item.get("kind") == "RayCluster":
        return [item["spec"]]
    found = item.get("spec", {}).get("rayClusterSpec") if item.get("kind") == "RayJob" else None
    return [found] if found else []


def groups_of(cluster: Object) -> Iterator[tuple[str, Object]]:
    """Name and specification of the head and of each group of workers."""
    yield "head", cluster["headGroupSpec"]
    for group in cluster.get("workerGroupSpecs", []):
        yield group["groupName"], group


def pods_of(item: Object) -> list[Object]:
    """Every pod that an object brings, as a plain one that tools for pods understand."""
    templates = {
        name: group["template"] for one in clusters_of(item) for name, group in groups_of(one)
    }
    if submitter := item.get("spec", {}).get("submitterPodTemplate"):
        templates["submitter"] = submitter
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template.get("metadata", {}), "name": f"{item['kind']}-{name}".lower()},
            "spec": template["spec"],
        }
        for name, template in templates.items()
    ]


def broken(item: Object) -> list[str]:
    """Which rules an object breaks; empty: none."""
    kind, name = item.get("kind", ""), item.get("metadata", {}).get("name", "")
    found = []
    if kind in LONGEST and (len(name) > LONGEST[kind] or not _LABEL.fullmatch(name)):
        found.append(f"name {name!r}: at most {LONGEST[kind]} of a-z, 0-9 and -, a letter first")
    if kind == "RayJob":
        found += _job(item["spec"])
    for cluster in clusters_of(item):
        found += _cluster(cluster)
    for pod in pods_of(item):
        found += [f"{pod['metadata']['name']}: {text}" for text in _pod(pod["spec"])]
    return found


def _job(spec: Object) -> Iterator[str]:
    ends = spec.get("shutdownAfterJobFinishes")
    for field in ("suspend", "ttlSecondsAfterFinished"):
        if spec.get(field) and not ends:
            yield f"{field} needs shutdownAfterJobFinishes"
    if ends and (spec.get("deletionStrategy") or {}).get("deletionRules"):
        yield "shutdownAfterJobFinishes excludes deletionRules"
    if bool(spec.get("rayClusterSpec")) == bool(spec.get("clusterSelector")):
        yield "one of rayClusterSpec and clusterSelector"
    if spec.get("clusterSelector") and spec.get("backoffLimit"):
        yield "backoffLimit does not go with clusterSelector"
    if spec.get("submissionMode", "K8sJobMode") != "K8sJobMode":
        yield f"submissionMode {spec['submissionMode']}: the others lose jobs or have no submitter"
    for field in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if spec.get(field, 0) <= 0:
            yield f"{field} must be there and positive: what waits for ever costs for ever"
    if spec.get("backoffLimit", 0) < 0:
        yield "backoffLimit is negative"


def _cluster(spec: Object) -> Iterator[str]:
    for field in GATED:
        if field in spec:
            yield f"{field} is behind a gate that is off by default"
    version = tuple(int(part) for part in spec.get("rayVersion", "0.0").split(".")[:2])
    if (spec.get("authOptions") or {}).get("mode") != "token":
        yield "without authOptions.mode token, whoever reaches the head runs what he likes"
    elif version < (2, 52):
        yield f"a token needs Ray 2.52, this is {spec.get('rayVersion')}"
    named = list(groups_of(spec))
    if len({name for name, _ in named}) < len(named):
        yield "two groups have one name"
    autoscaler = spec.get("autoscalerOptions") or {}
    if spec.get("enableInTreeAutoscaling"):
        head = spec["headGroupSpec"]["template"]["spec"].get("securityContext", {})
        yield from (f"autoscaler: {text}" for text in _restricted(head, autoscaler))
    second = autoscaler.get("version") == "v2"
    for name, group in named:
        yield from (f"{name}: {text}" for text in _group(group, version, autoscaler_v2=second))
    if spec["headGroupSpec"].get("rayStartParams", {}).get("num-cpus") != "0":
        yield "the head would get work: num-cpus must be '0'"


def _group(group: Object, version: tuple[int, ...], *, autoscaler_v2: bool) -> Iterator[str]:
    started = set(group.get("rayStartParams") or {})
    if group.get("resources") and started & _RESOURCES:
        yield "resources both there and in rayStartParams"
    if "labels" in started:
        yield "rayStartParams.labels is refused"
    least, most = group.get("minReplicas", 0), group.get("maxReplicas", 2**31 - 1)
    if not 0 <= least <= most:
        yield f"0 <= minReplicas {least} <= maxReplicas {most} does not hold"
    if group.get("priority") and not (autoscaler_v2 and version >= (2, 56)):
        yield "priority needs Ray 2.56 and autoscaler v2"
    policy = group["template"]["spec"].get("restartPolicy", "Never")
    if autoscaler_v2 and policy != "Never":
        yield f"autoscaler v2 needs restartPolicy Never, this is {policy}"


def _pod(spec: Object) -> Iterator[str]:
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    if not spec.get("containers"):
        yield "no container"
    for container in spec.get("containers", []) + spec.get("initContainers", []):
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"nothing is named {mount['name']!r} to be mounted"
        for variable in container.get("env", []):
            if _LITERAL_SECRET.search(variable["name"]) and variable.get("value"):
                yield f"{variable['name']} is written out; take it from a Secret"
        yield from _restricted(spec.get("securityContext", {}), container)
        if "lifecycle" in container:
            yield "a hook would run before Ray hears of the end, and take the workers' time"
    if any("hostPath" in volume for volume in spec.get("volumes", [])):
        yield "a volume of the host"
    if any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
        yield "it shares something with the host"


def _restricted(pod: Object, container: Object) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation must be false"
    if own.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "capabilities must drop ALL"
    if both.get("runAsNonRoot") is not True or both.get("runAsUser", 1) == 0:
        yield "it may run as root"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "no seccompProfile"
