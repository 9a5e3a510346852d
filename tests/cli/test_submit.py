"""`catgan submit --kuberay`: a manifest for a run that may be begun, and for no other."""

import pytest

from trainer import checkpoint, storage
from trainer import config as configs
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.launch.hold import hold
from trainer.run_folder import NewRun, RunFolder

YAML = """
run: {bucket}/run
dataset: {{address: {bucket}/set, size_px: 32}}
training: {{steps: 5, global_batch: 4}}
cluster: {{workers: 2, gpus_per_worker: 1, cpus_per_worker: 1, accelerator_type: L4,
          image: registry.example/catgan:1}}
"""


@pytest.fixture
def config(tmp_path, bucket):
    manifest = prepare("drawn:40", f"{bucket.address}/set", PrepareOptions(size_px=32, workers=1))
    path = tmp_path / "small.yaml"
    path.write_text(YAML.format(bucket=bucket.address))
    return path, manifest.fingerprint


def begun(path, fingerprint, **more):
    config = configs.load(path)
    run = RunFolder(storage.open_folder(config.run))
    run.write_config(configs.to_yaml(config))
    new = NewRun("small", config.dataset.address, fingerprint, "c0ffee")
    return run, checkpoint.begin(run, new, host="here", **more)


def test_a_run_that_is_trained_already_gets_no_second_cluster(catgan, config):
    first = catgan("submit", config[0], "--kuberay")
    assert first.code == 0, first.err
    assert "kind: RayJob" in first.out
    run = RunFolder(storage.open_folder(configs.load(config[0]).run))
    with hold(run) as held:
        held.take()
        begun(*config, holder=held.holder)
        second = catgan("submit", config[0], "--kuberay")
    assert second.code == 6
    assert second.out == ""


def test_a_finished_run_gets_no_cluster(catgan, config):
    run, start = begun(*config)
    run.end_start(start.start, "finished", "all steps are done", step=5, images_seen=20)
    ended = catgan("submit", config[0], "--kuberay")
    assert ended.code == 2
    assert "all its 5 steps" in ended.err
