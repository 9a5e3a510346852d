"""A run as a RayJob manifest for Kubernetes with the KubeRay operator.

Owns the job: how it is submitted, how often tried, when given up. Its cluster and pods are
in `ray_pods.py`; `infra/kuberay` builds on what is rendered here.
Pure: a plan in, plain values out; nothing is asked of a cluster.
"""

from typing import Any

import yaml

from trainer import config as configs
from trainer import storage
from trainer.config import Config
from trainer.errors import ConfigError
from trainer.launch import job_package, jobs, ray_pods
from trainer.launch.submit import Plan, in_a_bucket, metadata

PULL_SECS = 600
"""How long the head may take to be ready: pulling an image of GPU libraries takes minutes."""
FINISHED_TTL_SECS = 600
"""How long a finished job's cluster stays, so that its dashboard can be looked at."""
_SUBMITTER = {"cpu": "500m", "memory": "1Gi"}


def manifest(plan: Plan, name: str = "") -> list[dict[str, Any]]:
    """Returns the objects: a ConfigMap with the config, and the RayJob.

    Args:
        plan: Checked, see `trainer.launch.submit`.
        name: For people; default: that of the run.

    Raises:
        ConfigError: The config names no image or an address outside buckets, or no machine has
            what a worker asks for.
    """
    _must_have_image(plan.config)
    _must_last(plan.config)
    job_name = jobs.next_id(plan.run, plan.record, ())
    config = _of_image(plan.config)
    labels = {
        "app.kubernetes.io/name": ray_pods.APP,
        "app.kubernetes.io/instance": job_name,
        "app.kubernetes.io/component": "training",
    }
    noted = metadata(plan, name)
    noted.pop("catgan_submitted")  # the same command gives the same manifest
    place = {"namespace": plan.config.cluster.namespace, "labels": labels}
    config_name = plan.config_name or "config.yaml"
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": job_name, **place},
        "data": {config_name: configs.to_yaml(config)},
    }
    job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": job_name, **place},
        "spec": {
            **_job(config, job_name, _words(plan, config_name), labels),
            "metadata": noted,
            "rayClusterSpec": ray_pods.cluster(config, job_name, labels),
        },
    }
    return [config_map, job]


def to_yaml(objects: list[dict[str, Any]]) -> str:
    """Returns objects as YAML documents, for `kubectl apply -f -`."""
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, explicit_start=True)


class _Dumper(yaml.SafeDumper):
    """Several lines are written as a block, and nothing as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _must_have_image(config: Config) -> None:
    if not config.cluster.image:
        raise ConfigError(
            "cluster.image is empty: the config names no container image",
            expected="the image that infra/docker/Dockerfile makes, in a registry that the "
            "cluster reads",
            remedy="cluster.image=REGION-docker.pkg.dev/PROJECT/catgan/catgan:TAG",
        )


def _must_last(config: Config) -> None:
    for key, address in (("run", config.run), ("dataset.address", config.dataset.address)):
        if not storage.is_bucket(address):
            raise ConfigError(
                f"{key} is {address!r}, and the pods of this job mount no disk: what they write "
                "there ends with them",
                expected="a place in a bucket",
                remedy=configs.setting(key, in_a_bucket(address)),
            )


def _of_image(config: Config) -> Config:
    """Returns the config of a run whose program is in the image, so nothing is sent."""
    settings = config.cluster.model_copy(update={"package": "none"})
    return config.model_copy(update={"cluster": settings})


def _words(plan: Plan, config_name: str) -> list[str]:
    if not plan.config_name:
        return list(plan.words)
    return [f"{ray_pods.CONFIG_FOLDER}/{w}" if w == config_name else w for w in plan.words]


def _job(config: Config, job_name: str, words: list[str], labels: dict[str, str]) -> dict[str, Any]:
    settings = config.cluster
    return {
        # Its own pod submits and waits; a sidecar of the head would die with the head.
        "submissionMode": "K8sJobMode",
        "entrypoint": job_package.command(words),
        "jobId": job_name,
        # A stopped job gets the time to publish a checkpoint; Ray's default is 3 s.
        "runtimeEnvYAML": yaml.safe_dump(
            {"env_vars": {job_package.STOP_VARIABLE: str(job_package.STOP_SECS)}}
        ),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": FINISHED_TTL_SECS,
        # The same command goes on with the run, so trying again is right.
        "backoffLimit": 3,
        "activeDeadlineSeconds": round(3600 * settings.deadline_hours),
        "preRunningDeadlineSeconds": round(settings.start_timeout_secs) + PULL_SECS,
        "submitterConfig": {"backoffLimit": 3},
        "submitterPodTemplate": {
            "metadata": ray_pods.described(labels),
            "spec": ray_pods.on_head_pool(settings, "submitter", _SUBMITTER),
        },
    }
