"""`catgan train --dry-run`: the figures of each shipped config, and that nothing is written."""

from pathlib import Path

import pytest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NARROW = ["model.base_channels=4"]  # building the 2018 networks whole takes long
MORE = {
    "seed2018": NARROW,
    "seed2018-fixed": NARROW,
    "cluster-gpu": ["run=runs/cluster-gpu", "dataset.address=datasets/cats128"],
}


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_shipped_config_can_be_looked_at(catgan, tmp_path, name):
    ended = catgan("train", CONFIGS / f"{name}.yaml", *MORE.get(name, []), "--dry-run")
    assert ended.code == 0, ended.err
    for part in ("generator:", "discriminator:", "GFLOP", "together", f"runs/{name}"):
        assert part in ended.out
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_was_not_filled_in_is_named(catgan):
    ended = catgan("train", CONFIGS / "cluster-gpu.yaml", "--dry-run")
    assert ended.code == 2
    assert "the bucket 'BUCKET', which cannot exist" in ended.err


def test_the_cluster_config_gives_each_gpu_the_batch_of_one(catgan):
    words = [CONFIGS / "cluster-gpu.yaml", *MORE["cluster-gpu"], "--dry-run", "--json"]
    found = catgan("train", *words).answer
    assert found["worker_rows"] == [64] * 8
    assert found["config"]["cluster"]["gpus_per_worker"] == 1
    assert found["config"]["precision"] == "bfloat16"
    # As the config's own head has it.
    assert found["flops"]["mean"] / 1e9 == pytest.approx(221, rel=1e-2)
    assert found["checkpoint_bytes"] / 1e6 == pytest.approx(95, rel=1e-2)


@pytest.mark.slow
def test_the_2018_networks_have_the_published_sizes(catgan):
    found = catgan("train", CONFIGS / "seed2018.yaml", "--dry-run", "--json").answer
    assert [n["trainable"] for n in found["networks"]] == [24_034_819, 17_484_289]
    assert found["flops"]["plain"] / 64 == pytest.approx(54.4e9, rel=3e-3)


def test_figures_for_programs(catgan, tiny):
    found = catgan("train", tiny, "cluster.workers=3", "--dry-run", "--json").answer
    assert found["worker_rows"] == [3, 3, 2]
    assert found["images"] == 32
    assert found["epochs"] is None
    assert found["flops"]["plain"] < found["flops"]["mean"] < found["flops"]["penalty"]
    parts = [value for name, value in found["memory"].items() if name != "total"]
    assert found["memory"]["total"] == sum(parts)
    assert found["config"]["training"]["steps"] == 4


def test_the_work_of_a_run_does_not_depend_on_the_workers(catgan, tiny):
    alone = catgan("train", tiny, "--dry-run").out
    several = catgan("train", tiny, "cluster.workers=3", "--dry-run").out
    assert "a step, one worker" in several
    assert "a step, one worker" not in alone

    def total(shown):
        return next(float(s.split()[3]) for s in shown.splitlines() if "the whole run" in s)

    assert total(several) == pytest.approx(total(alone), rel=0.15)


def test_an_existing_run_and_data_set_are_told(catgan, trained, monkeypatch):
    monkeypatch.chdir(trained)
    before = sorted(trained.rglob("*"))
    ended = catgan(
        "train",
        trained / "tiny.yaml",
        f"run={trained}/runs/tiny",
        f"dataset.address={trained}/datasets/tiny",
        "--dry-run",
    )
    assert "exists, finished at step 4" in ended.out
    assert "36 training pictures" in ended.out
    assert "0.9 epochs" in ended.out
    assert sorted(trained.rglob("*")) == before


def test_a_checkpoint_is_as_large_as_is_said(catgan, trained):
    said = catgan("train", trained / "tiny.yaml", "--dry-run", "--json").answer
    found = catgan("inspect", trained / "runs/tiny/checkpoints/step-000000004", "--json").answer
    # Each part begins with a header that lists its tensors: some kilobytes.
    assert 0 < found["size_bytes"] - said["checkpoint_bytes"] < 20_000
