"""The manifests of infra/kuberay that the program itself writes.

    python -m tests.infra.render     # writes them anew

Owns which config they come from. `test_manifests.py` compares what lies in infra/ with it.
"""

from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from trainer import __version__ as VERSION
from trainer import config as configs
from trainer.launch import kuberay, ray_pods
from trainer.launch.submit import JOIN, Plan

KUBERAY = REPOSITORY / "infra" / "kuberay"
CONFIG = REPOSITORY / "configs" / "cluster-gpu.yaml"
BUCKET = "your-bucket"
IMAGE = f"REGION-docker.pkg.dev/PROJECT/catgan/catgan:{VERSION}"
OVERRIDES = (
    f"run=gs://{BUCKET}/runs/cats128",
    f"dataset.address=gs://{BUCKET}/datasets/cats128",
    "cluster.spot=true",
    f"cluster.image={IMAGE}",
)


def plan_of(path: Path, *overrides: str) -> Plan:
    """What `catgan submit PATH OVERRIDES --kuberay` renders, if the bucket has nothing yet."""
    config = configs.load(path, list(overrides))
    return Plan(config, config.run, ("train", path.name, *JOIN), path.name, None)


def texts() -> dict[Path, str]:
    """Each file that is made, and what belongs into it."""
    plan = plan_of(CONFIG, *OVERRIDES)
    return {
        KUBERAY / "job" / "rayjob.yaml": kuberay.to_yaml(kuberay.manifest(plan)),
        KUBERAY / "cluster" / "raycluster.yaml": kuberay.to_yaml([ray_cluster(plan)]),
    }


def ray_cluster(plan: Plan) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": ray_pods.APP, "app.kubernetes.io/component": "cluster"}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": "catgan",
            "namespace": plan.config.cluster.namespace,
            "labels": labels,
        },
        "spec": ray_pods.cluster(plan.config, "", labels),
    }


if __name__ == "__main__":
    for path, text in texts().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
