"""`catgan train --pictures`: what is chosen, what is said, what is written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from trainer import config as configs
from trainer import presets
from trainer.cli import bare_pictures
from trainer.data.survey import SAMPLE, Survey, look
from trainer.errors import ConfigError, DataError

CONFIGS = Path(__file__).parents[2] / "configs"


def survey(count, *sides):
    sides = sides or (500,)
    return Survey("/pictures", count, tuple(sorted(sides)))


@pytest.mark.parametrize(
    ("count", "side", "device", "expected"),
    [
        # size, batch, steps
        (30, 500, "CPU", (64, 16, 1_900)),
        (99, 500, "CPU", (64, 16, 6_200)),
        (300, 500, "CPU", (64, 32, 9_400)),
        (5_000, 500, "CPU", (64, 64, 5_000)),
        (5_000, 48, "CPU", (32, 64, 5_000)),
        (1_000_000, 500, "CPU", (64, 64, 5_000)),
        (30, 500, "GPU", (256, 16, 1_900)),
        (300, 200, "GPU", (128, 32, 9_400)),
        (5_000, 500, "GPU", (256, 32, 156_200)),
        (5_000, 128, "GPU", (128, 64, 60_000)),
        (100_000, 200, "GPU", (128, 64, 60_000)),
        (100_000, 64, "GPU", (64, 64, 17_000)),
        (100_000, 32, "GPU", (32, 64, 17_000)),
    ],
)
def test_the_choice(count, side, device, expected):
    found = presets.decide(survey(count, side), device)
    assert (found.size_px, found.global_batch, found.steps) == expected


@pytest.mark.parametrize("size_px", [64, 128, 256])
def test_the_recipe_is_that_of_the_shipped_config(size_px):
    recipe = presets.decide(survey(100_000, size_px), "GPU").recipe
    words = [configs.setting(key, value) for key, value in recipe.items()]
    chosen, shipped = configs.from_text("", words), configs.load(CONFIGS / f"cats{size_px}.yaml")
    learning = "model", "loss", "generator_optimizer", "discriminator_optimizer", "augment", "ema"
    for section in learning:
        assert getattr(chosen, section) == getattr(shipped, section)


def test_few_pictures_are_changed_more():
    few, many = (presets.decide(survey(n), "CPU").recipe["augment.strength"] for n in (999, 1000))
    assert (few, many) == ("0 to 0.5", "0 to 0.3")


def test_a_quarter_of_the_pictures_may_be_too_small():
    quarter = survey(1000, *[40] * 25, *[300] * 75)
    third = survey(1000, *[40] * 33, *[300] * 67)
    assert presets.decide(quarter, "CPU").size_px == 64
    assert presets.decide(quarter, "CPU").too_small == 0.25
    assert presets.decide(third, "CPU").size_px == 32


def test_faces_are_smaller_than_their_photographs():
    photographs = survey(1000, 150)
    assert presets.decide(photographs, "GPU").size_px == 128
    assert presets.decide(photographs, "GPU", crop="face").size_px == 32


def test_a_size_that_was_asked_for_holds():
    assert presets.decide(survey(1000, 500), "CPU", size_px=128).size_px == 128


def test_small_sets_keep_all_their_pictures():
    assert presets.decide(survey(199), "CPU").val_fraction == 0
    assert presets.decide(survey(200), "CPU").val_fraction > 0


def test_no_pictures_or_only_tiny_ones():
    with pytest.raises(DataError, match="no pictures"):
        presets.decide(survey(0), "CPU")
    with pytest.raises(DataError, match="too small"):
        presets.decide(survey(50, 16), "CPU")


@pytest.mark.parametrize(("count", "word"), [(1, "copies"), (99, "copies"), (100, "variations")])
def test_what_to_expect(count, word):
    assert word in presets.expectation(count)


@pytest.fixture
def pictures(tmp_path):
    """Thirty pictures, not square, in a folder `My Cats`, beside a text file."""
    folder = tmp_path / "My Cats"
    (folder / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(30):
        pixels = rng.integers(0, 256, (48, 40 + number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "deeper" / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return folder


def test_looking_counts_pictures_by_what_they_are(pictures):
    found = look(str(pictures))
    assert (found.count, found.looked_at, found.median_px) == (30, 30, 48)
    assert found.share_below(41) == pytest.approx(1 / 30)


def test_a_large_set_is_looked_at_in_part(tmp_path):
    for number in range(SAMPLE + 50):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    found = look(str(tmp_path))
    assert (found.count, found.looked_at) == (SAMPLE + 50, SAMPLE)


def test_thirty_pictures_train_and_the_config_trains_them_again(catgan, pictures, tmp_path):
    small = "training.steps=2", "model.base_channels=4", "model.group_width=8"
    ended = catgan("train", "--pictures", pictures, *small)
    assert ended.code == 0, ended.err
    assert ended.out == f"{tmp_path}/runs/my-cats\n"
    for part in ("30 pictures", "expect copies", "runs/my-cats.yaml", "32 px", "crop center"):
        assert part in ended.err
    written = tmp_path / "runs/my-cats.yaml"
    assert "training" in yaml.safe_load(written.read_text())
    again = catgan("train", written, "--json")
    assert (again.code, again.answer["status"]) == (0, "already finished"), again.err
    once_more = catgan("train", "--pictures", pictures, "--json")
    assert once_more.answer["status"] == "already finished"
    assert "chosen before" in once_more.err


def test_overrides_hold_and_are_written(catgan, pictures, tmp_path):
    plan = bare_pictures.plan(
        str(pictures),
        run=str(tmp_path / "there"),
        crop="none",
        overrides=["training.steps=5", "dataset.size_px=64", "seed=9"],
        device="GPU",
    )
    plan.write()
    config = configs.load(tmp_path / "there.yaml")
    assert config == plan.config
    assert (config.training.steps, config.dataset.size_px, config.seed) == (5, 64, 9)
    assert config.dataset.crop == "none"
    assert config.run == str(tmp_path / "there")


def test_overrides_are_judged_together_with_what_is_chosen(catgan, pictures, tmp_path):
    """Adaptive augmentation asks for kinds, which are chosen here; a crop decides the size."""

    def planned(*overrides):
        where = {"run": str(tmp_path / "there"), "device": "GPU"}
        return bare_pictures.plan(str(pictures), overrides=overrides, **where)

    adaptive = planned("loss.name=non_saturating", "augment.strength=adaptive").config
    assert adaptive.augment.is_adaptive
    cropped = planned("dataset.crop=face", "dataset.size_px=32").config
    assert cropped.dataset.crop == "face"
    assert cropped.dataset.address.endswith("-32-face")
    with pytest.raises(DataError, match="too small"):
        planned("dataset.crop=face")  # faces are a third of their photographs
    told = planned("dataset.size_px=128").lines
    assert any("a smaller size" in line for line in told)
    assert not any("a smaller size" in line for line in planned("dataset.size_px=32").lines)


def test_a_dry_run_writes_nothing(catgan, pictures, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    ended = catgan("train", "--pictures", pictures, "--dry-run")
    assert ended.code == 0, ended.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_config_of_other_pictures_is_not_overwritten(catgan, pictures, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/my-cats.yaml").write_text("dataset: {source: /others}\n")
    with pytest.raises(ConfigError, match="for the pictures of /others"):
        bare_pictures.plan(str(pictures), device="CPU")


def test_a_run_in_a_bucket_has_its_config_here(pictures, catgan):
    plan = bare_pictures.plan(str(pictures), run="gs://bucket/runs/tabby", device="CPU")
    assert (plan.config.run, str(plan.path)) == ("gs://bucket/runs/tabby", "runs/tabby.yaml")


def test_others_of_the_same_name_get_a_data_set_of_their_own(catgan, pictures, tmp_path):
    small = "training.steps=2", "model.base_channels=4", "model.group_width=8"
    assert catgan("train", "--pictures", pictures, *small).code == 0
    others = tmp_path / "others" / pictures.name
    shutil.copytree(pictures, others)
    (others / "deeper/29.png").unlink()
    refused = catgan("train", "--pictures", others, *small)
    assert refused.code == 2
    assert "--run runs/ANOTHER_NAME" in refused.err
    ended = catgan("train", "--pictures", others, "--run", "runs/others", *small)
    assert ended.code == 0, ended.err
    config = yaml.safe_load((tmp_path / "runs/others/config.yaml").read_text())
    found = catgan("inspect", config["dataset"]["address"], "--json").answer
    assert (found["source"], found["train"]) == (str(others), 29)


@pytest.mark.parametrize("source", ["drawn:50", "tfds:cats_vs_dogs"])
def test_what_lies_nowhere_is_no_pictures(catgan, source):
    ended = catgan("train", "--pictures", source)
    assert ended.code == 2
    assert f"dataset.source={source}" in ended.err
