"""The config: what it accepts, what it refuses and how it says so."""

import re
from pathlib import Path

import pytest
import yaml

from trainer import config as configs
from trainer import config_address, storage
from trainer.config import Config
from trainer.config.load import all_keys
from trainer.errors import ConfigError

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
KEYS = sorted(all_keys())


def refused(text, overrides=()):
    """Returns the message for a config that must be refused."""
    with pytest.raises(ConfigError) as caught:
        configs.from_text(text, overrides)
    return str(caught.value)


# What is accepted.


def test_an_empty_config_is_all_defaults():
    assert configs.from_text("") == Config()
    assert configs.from_text("# nothing but a comment\n") == Config()


def test_written_out_it_reads_back_the_same():
    config = configs.from_text("", ["training.steps=7", "checkpoint.every_steps=5 epochs"])
    assert configs.from_text(configs.to_yaml(config)) == config


def test_run_and_data_set_are_named_after_the_file(tmp_path):
    path = tmp_path / "tabby.yaml"
    path.write_text("seed: 3\n")
    config = configs.load(path)
    assert (config.run, config.dataset.address) == ("runs/tabby", "datasets/tabby")
    assert configs.load(path, ["run=elsewhere"]).run == "elsewhere"


def test_every_key_has_a_line_of_help():
    for key, field in all_keys().items():
        assert field.description, key
        assert len(field.description) < 100, key


def test_the_keys_that_others_lean_on_are_there():
    fixed = """run seed deterministic precision jit dataset.address dataset.source dataset.size_px
        dataset.lanes model.architecture model.base_channels training.steps training.global_batch
        training.micro_batch training.update training.steps_per_call training.max_mins loss.name
        loss.r1_weight loss.r2_weight loss.penalty_every_steps checkpoint.every_steps
        checkpoint.keep_last samples.every_steps metrics.every_steps cluster.workers
        cluster.gpus_per_worker cluster.cpus_per_worker cluster.hang_timeout_secs"""
    assert set(fixed.split()) <= set(KEYS)


@pytest.mark.parametrize(
    ("item", "key", "value"),
    [
        ("generator_optimizer.rate=4e-4", ("generator_optimizer", "rate"), 4e-4),
        ("generator_optimizer.rate=1E-3", ("generator_optimizer", "rate"), 1e-3),
        ("loss.r1_weight=10", ("loss", "r1_weight"), 10.0),
        ("jit=true", ("jit",), True),
        ("jit=auto", ("jit",), "auto"),
        ("run=gs://bucket/runs/a", ("run",), "gs://bucket/runs/a"),
        ("run='a b: c'", ("run",), "a b: c"),
        ("dataset.source=drawn:10", ("dataset", "source"), "drawn:10"),
        (
            "dataset.source=tfds:cats_vs_dogs:train",
            ("dataset", "source"),
            "tfds:cats_vs_dogs:train",
        ),
        ("dataset.source=", ("dataset", "source"), ""),
    ],
)
def test_overrides_are_read_as_people_write_them(item, key, value):
    found = configs.from_text("", [item])
    for part in key:
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_the_last_override_holds():
    assert configs.from_text("seed: 1", ["seed=2", "seed=3"]).seed == 3


def test_differences_name_the_keys():
    one, other = Config(), configs.from_text("", ["seed=1", "loss.r1_weight=2"])
    assert configs.differences(one, other) == {"seed": (0, 1), "loss.r1_weight": (1.0, 2.0)}


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 1


def test_a_penalty_interval_may_be_longer_than_a_short_run():
    # A penalty is due at the first step, whatever the interval.
    assert configs.from_text("", ["training.steps=2"]).training.steps == 2


# What is refused, and how.


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("training.step=5", "training.steps"),
        ("trainning.steps=5", "training.steps"),
        ("steps=5", "training.steps"),
        ("size_px=64", "dataset.size_px"),
        ("loss.r1=1", "loss.r1_weight"),
        ("checkpoints.keep_last=1", "checkpoint.keep_last"),
        ("discriminator_optimiser.rate=1e-4", "discriminator_optimizer.rate"),
        ("optimizer=1", "generator_optimizer"),
        ("Seed=1", "seed"),
        ("xyzzy=1", "catgan train --keys"),
    ],
)
def test_an_unknown_key_names_the_closest(override, hint):
    message = refused("", [override])
    assert override.split("=")[0] in message
    assert hint in message.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("seed: -1", ["seed=-1", "greater than or equal to 0"]),
        ("seed: true", ["seed=True", "integer"]),
        ("seed: 1.5", ["seed=1.5", "integer"]),
        ("seed: '7'", ["seed='7'", "integer"]),
        ("training: {steps: 0}", ["training.steps=0"]),
        ("training: {steps: 2000000000}", ["training.steps=2000000000"]),
        ("training: {steps: many}", ["training.steps='many'"]),
        ("training: 5", ["training=5"]),
        ("precision: float8", ["precision='float8'", "'float16'"]),
        ("jit: maybe", ["jit='maybe'", "'auto'"]),
        ("loss: {name: wgan}", ["loss.name='wgan'", "relativistic_pairing"]),
        ("loss: {r1_weight: .nan}", ["loss.r1_weight=nan"]),
        ("loss: {r1_weight: .inf}", ["loss.r1_weight=inf"]),
        ("loss: {label_smoothing: 0.1}", ["label_smoothing=0.1", "non_saturating"]),
        ("generator_optimizer: {rate: 0}", ["generator_optimizer.rate=0"]),
        ("checkpoint: {every_steps: 5 weeks}", ["checkpoint.every_steps='5 weeks'", "epochs"]),
        ("checkpoint: {every_steps: [5]}", ["checkpoint.every_steps=[5]"]),
        ("dataset: {size_px: 48}", ["dataset.size_px=48", "power of two"]),
        ("dataset: {size_px: 512}", ["dataset.size_px=512", "256", "do: ", "32, 64, 128 or 256"]),
        ("dataset: {size_px: 16}", ["dataset.size_px=16", "equal to 32"]),
        ("dataset: {lanes: 5}", ["dataset.lanes=5", "dataset.lanes=4"]),
        ("training: {micro_batch: 65}", ["micro_batch=65"]),
        ("{training: {micro_batch: 8}, model: {generator_norm: batch}}", ["batch norm"]),
        (
            "model: {architecture: r3gan, base_channels: 3}",
            ["model.group_width=16 does not divide 6", "model.group_width=2"],
        ),
        ("model: {architecture: r3gan, generator_norm: batch}", ["set model.generator_norm=none"]),
        ("model: {architecture: r3gan, spectral_norm: true}", ["model.spectral_norm=false"]),
        ("model: {architecture: resnet, upsampling: low_pass}", ["model.upsampling=low_pass"]),
        ("training: {discriminator_updates: 5}", ["cannot be dealt to 5", "multiple of 5"]),
        ("{training: {discriminator_updates: 8}, dataset: {lanes: 16}}", ["multiple of 128"]),
        (
            "training: {discriminator_updates: 2, update: simultaneous}",
            ["discriminator_updates=2 with training.update=simultaneous"],
        ),
        ("training: {discriminator_updates: 2, micro_batch: 8}", ["with training.micro_batch"]),
        ("augment: {strength: adaptive}", ["no augmentation at all"]),
        ("evaluation: {metrics: [beauty]}", ["evaluation.metrics"]),
        ("cluster: {workers: 65}", ["cluster.workers=65", "global_batch"]),
        ("cluster: {gpus_per_worker: 2}", ["cluster.gpus_per_worker=2"]),
        ("- a list", ["list", "key: value"]),
        ("just words", ["str", "key: value"]),
        ("a: b: c", ["not valid YAML"]),
        ("seed: 1\nseed: 2", ["stands twice", "line 2"]),
        ("a: &x [1]\nb: *x", ["alias"]),
        ("\tseed: 1", ["not valid YAML"]),
        ("1: 2", ["1"]),
        ("null: 2", ["None"]),
        ("seed: !!python/object/apply:os.system [ls]", ["not valid YAML"]),
        ("seed: 2020-01-01", ["seed="]),
        ("run: 5", ["run=5", "string"]),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(text, parts):
    message = refused(text)
    for part in parts:
        assert part in message
    assert "expected:" in message


@pytest.mark.parametrize("item", ["steps", "=5", " =5", "", "training.steps"])
def test_what_is_no_override_is_shown_one(item):
    assert "key=value" in refused("", [item])


def test_an_override_into_a_value_is_refused():
    assert "seed is a value, not a section" in refused("seed: 1", ["seed.x=1"])


def test_files_that_are_no_configs(tmp_path):
    missing = tmp_path / "cats46.yaml"
    (tmp_path / "cats64.yaml").write_text("")
    binary, large = tmp_path / "binary.yaml", tmp_path / "large.yaml"
    binary.write_bytes(b"seed: \xff\xfe")
    large.write_bytes(b"#" * 1_000_001)
    for path, part in ((missing, "cats64.yaml"), (binary, "UTF-8"), (large, "1,000,001 bytes")):
        with pytest.raises(ConfigError, match=re.escape(part)):
            configs.load(path)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        configs.load(tmp_path)
    assert caught.value.expected
    assert caught.value.remedy


# The files that are shipped.


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
class TestShipped:
    def test_loads_and_says_what_it_needs(self, path):
        configs.load(path)
        opening = path.read_text().split("\n\n")[0]
        for word in ("# needs", "# costs", "# shows", f"catgan train configs/{path.name}"):
            assert word in opening

    def test_holds_only_what_differs_from_the_defaults(self, path):
        written = configs.from_text(path.read_text())
        named = set()
        for section, value in (yaml.safe_load(path.read_text()) or {}).items():
            names = [f"{section}.{key}" for key in value] if isinstance(value, dict) else [section]
            named.update(names)
        assert named == set(configs.differences(Config(), written))


def test_the_2018_recipe_is_as_coded():
    config = configs.load(CONFIGS / "seed2018.yaml")
    assert config.training.steps == 215 * (9_900 // 64)
    assert config.model.generator_norm_momentum == pytest.approx(0.99**2)
    assert (config.generator_optimizer.rate, config.discriminator_optimizer.rate) == (2e-4, 5e-5)
    assert config.generator_optimizer.beta_1 == config.discriminator_optimizer.beta_1 == 0.5
    assert (config.model.picture_scale, config.loss.label_smoothing) == (0.5, 0.0)


def test_the_mended_recipe_differs_by_its_mends_alone():
    as_coded = configs.from_text((CONFIGS / "seed2018.yaml").read_text())
    mended = configs.from_text((CONFIGS / "seed2018-fixed.yaml").read_text())
    changed = configs.differences(as_coded, mended)
    recipe = {key for key in changed if key.split(".")[0] in ("model", "loss", "ema", "training")}
    assert recipe == {
        "model.picture_scale",
        "model.generator_norm_momentum",
        "loss.label_smoothing",
    }


def test_a_section_of_comments_is_an_empty_one():
    assert configs.from_text("dataset:\n  # source: PICTURES.zip\nseed: 3") == Config(seed=3)


def test_a_config_in_a_bucket(bucket):
    """As that of a run there, which the report says to train from."""
    folder = storage.open_folder(f"{bucket.address}/runs/cats")
    folder.write("config.yaml", configs.to_yaml(configs.from_text("", ["run=gs://b/r"])).encode())
    address = f"{bucket.address}/runs/cats/config.yaml"
    found = config_address.load(address, ["seed=3"])
    assert (found.run, found.seed) == ("gs://b/r", 3)
    with pytest.raises(ConfigError, match="there is no config at"):
        config_address.load(address.replace("config", "other"))
