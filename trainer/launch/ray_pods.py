"""The RayCluster of a run on Kubernetes, and its pods.

Owns what pods ask for, where they may run and how they end. The machines and their names on
Google Kubernetes Engine are in `machines.py`. Pure: a config in, plain values out.

No pod has a `preStop` hook. KubeRay starts `ray start --block`, which on SIGTERM tells the
cluster that its node goes and waits, `RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S` at most: the time
in which the workers hear of it and publish a checkpoint. `ray stop` in a hook would run before
that and kill them.
"""

from typing import Any

from trainer.config import Config
from trainer.launch.machines import (
    HEAD_POOL,
    POOL_LABEL,
    SPOT,
    Machine,
    grace_secs,
    machine_for,
)

APP = "catgan"
"""Label `app.kubernetes.io/name` of all pods: network policies go by it."""
CONFIG_FOLDER = "/etc/catgan"

# Ray's own drain must end before Kubernetes kills the pod.
_DRAIN_MARGIN_SECS = 5
_HEAD = {"cpu": "2", "memory": "8Gi"}
_USER_ID, _GROUP_ID = 1000, 100  # `ray` and `users` of Ray's images
_SHARED_MEMORY = "2Gi"
# Pictures do not go through Ray's store. Larger than the shared memory it would be on disk.
_OBJECT_STORE_BYTES = 2**30


def cluster(config: Config, config_map: str, labels: dict[str, str]) -> dict[str, Any]:
    """Returns the RayCluster that a run of this config needs.

    Args:
        config: Its cluster settings count.
        config_map: Mounted on the head at `CONFIG_FOLDER`; "": none.
        labels: Of its pods.
    """
    import ray

    settings = config.cluster
    machine = machine_for(settings)
    kinds = [SPOT, machine.lasting] if settings.spot else [machine.lasting]
    return {
        "rayVersion": ray.__version__,
        # The operator makes the token and gives it to head, workers and submitter.
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": 300,
            "resources": _same({"cpu": "500m", "memory": "512Mi"}),
            "securityContext": _container_security(),
        },
        "headGroupSpec": _head(settings, config_map, labels),
        "workerGroupSpecs": [_workers(settings, machine, kind, labels) for kind in kinds],
    }


def _head(settings: Any, config_map: str, labels: dict[str, str]) -> dict[str, Any]:
    pod = on_head_pool(settings, "ray-head", _HEAD)
    # Ray's autoscaler beside the head asks Kubernetes for workers.
    pod["automountServiceAccountToken"] = True
    # It lives as long as the workers that are told to go with it.
    _ends_after(pod, settings.grace_secs, settings.grace_secs)
    if config_map:
        pod["volumes"].append({"name": "config", "configMap": {"name": config_map}})
        mount = {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True}
        pod["containers"][0]["volumeMounts"].append(mount)
    pod["containers"][0]["ports"] = [
        {"name": name, "containerPort": port}
        for name, port in (("gcs", 6379), ("dashboard", 8265), ("client", 10001))
    ]
    # No work on the head: it outlives all workers.
    return {
        "serviceType": "ClusterIP",
        "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
        "template": {"metadata": described(labels), "spec": pod},
    }


def _workers(
    settings: Any, machine: Machine, provisioning: str, labels: dict[str, str]
) -> dict[str, Any]:
    asked = {"cpu": str(settings.cpus_per_worker), "memory": f"{machine.memory_gib(settings)}Gi"}
    if settings.gpus_per_worker:
        asked["nvidia.com/gpu"] = str(settings.gpus_per_worker)
    pod = _pod(settings, "ray-worker", asked, machine.selector(provisioning))
    pod["tolerations"] = machine.tolerations(provisioning)
    given = grace_secs(settings, spot=provisioning == SPOT)
    _ends_after(pod, settings.grace_secs, given)
    pod["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels},
        }
    ]
    pod["volumes"].append(
        # NCCL and Ray's object store share memory here; Docker's default is 64 MB.
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": _SHARED_MEMORY}}
    )
    mount = {"name": "shared-memory", "mountPath": "/dev/shm"}
    pod["containers"][0]["volumeMounts"].append(mount)
    # Ray asks for spot first, and for the others where there is none.
    priority = {"priority": 10} if provisioning == SPOT else {}
    return {
        "groupName": machine.pool(provisioning),
        **priority,
        "replicas": 0,
        "minReplicas": 0,
        "maxReplicas": settings.max_workers,
        "rayStartParams": {"object-store-memory": str(_OBJECT_STORE_BYTES)},
        "template": {"metadata": described(labels), "spec": pod},
    }


def described(labels: dict[str, str]) -> dict[str, Any]:
    """Returns the metadata of a pod that no autoscaler moves to save a machine."""
    annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    return {"labels": labels, "annotations": annotations}


def on_head_pool(settings: Any, name: str, resources: dict[str, str]) -> dict[str, Any]:
    """Returns the spec of a pod on a machine that is not taken back.

    Args:
        settings: A config's section `cluster`.
        name: Of its container.
        resources: Asked for, and its limit.
    """
    return _pod(settings, name, resources, {POOL_LABEL: HEAD_POOL})


def _ends_after(pod: dict[str, Any], grace_secs: float, given_secs: float) -> None:
    """Sets how long a pod may take to end, and Ray's wait within what is really given."""
    pod["terminationGracePeriodSeconds"] = round(grace_secs)
    drain = max(0, round(given_secs) - _DRAIN_MARGIN_SECS)
    variable = {"name": "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "value": str(drain)}
    pod["containers"][0]["env"].append(variable)


def _pod(
    settings: Any, name: str, resources: dict[str, str], selector: dict[str, str]
) -> dict[str, Any]:
    """Returns a pod's spec under the restricted security standard of Kubernetes."""
    container = {
        "name": name,
        "image": settings.image,
        "resources": _same(resources),
        "securityContext": _container_security(),
        "env": [{"name": "XDG_CACHE_HOME", "value": "/tmp/cache"}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    return {
        "serviceAccountName": settings.service_account,
        # The bucket is reached without it, and who is inside a worker could ask for more pods.
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "nodeSelector": dict(selector),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "runAsGroup": _GROUP_ID,
            "fsGroup": _GROUP_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }


def _container_security() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": _USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _same(resources: dict[str, str]) -> dict[str, Any]:
    return {"requests": dict(resources), "limits": dict(resources)}
