"""The manifests in infra/kuberay are those that the program renders, and Kubernetes takes them."""

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.infra import checks, render
from trainer.errors import ConfigError
from trainer.launch import kuberay

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))
HAND_WRITTEN = sorted(
    path
    for folder in ("base", "kueue")
    for path in (render.KUBERAY / folder).glob("*.yaml")
    if path.name != "kustomization.yaml"
)
STARTS = ("cluster.spot=false", "cluster.spot=true", "cluster.gpus_per_worker=1")


def rendered(path: Path, *overrides: str) -> list[checks.Object]:
    plan = render.plan_of(path, *render.OVERRIDES, *overrides)
    return checks.read(kuberay.to_yaml(kuberay.manifest(plan)))


@pytest.mark.parametrize(("path", "text"), render.texts().items(), ids=lambda value: "")
def test_the_committed_files_are_what_the_program_renders(path, text):
    assert path.read_text(encoding="utf-8") == text, "python -m tests.infra.render"


def test_rendering_twice_gives_the_same():
    assert render.texts() == render.texts()


@pytest.mark.parametrize("override", STARTS)
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_renders_objects_that_kubernetes_takes(path, override):
    assert checks.all_problems(rendered(path, override)) == []


@pytest.mark.parametrize("gpu", ["L4", "T4", "A100", "H100"])
def test_every_gpu_renders_objects_that_kubernetes_takes(gpu):
    assert checks.all_problems(rendered(render.CONFIG, f"cluster.accelerator_type={gpu}")) == []


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=lambda path: path.stem)
def test_kubernetes_takes_what_is_written_by_hand(path):
    assert checks.all_problems(checks.read_file(path)) == []


def test_a_long_run_address_still_gives_a_name_that_the_operator_takes():
    run = "run=gs://your-bucket/" + "a-run-with-a-very-long-name-" * 4
    assert checks.all_problems(rendered(render.CONFIG, run)) == []


def test_the_rendered_config_expects_the_program_in_the_image():
    config_map = checks.only(rendered(render.CONFIG, "cluster.package=pip"), "ConfigMap")
    assert "package: none" in config_map["data"]["cluster-gpu.yaml"]


def test_the_job_knows_its_run_and_not_when_it_was_rendered():
    spec = checks.only(rendered(render.CONFIG), "RayJob")["spec"]
    assert spec["metadata"] == {
        "job_name": "cats128",
        "catgan_run": "gs://your-bucket/runs/cats128",
        "catgan_start": "1",
        "catgan_version": render.VERSION,
    }


@pytest.mark.parametrize("override", ["run=/mnt/run", "dataset.address=/mnt/data"])
def test_an_address_that_pods_do_not_have_is_refused(override):
    with pytest.raises(ConfigError, match="mount no disk"):
        rendered(render.CONFIG, override)
