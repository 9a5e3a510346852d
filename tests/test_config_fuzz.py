"""Anything at all as a config: nothing but ConfigError comes out, and that with words."""

import string

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trainer import config as configs
from trainer.config.load import all_keys
from trainer.errors import ConfigError

KEYS = sorted(all_keys())


def only_config_errors(text, overrides=()):
    told = None
    try:
        config = configs.from_text(text, overrides)
    except ConfigError as error:
        told = error
    if told is None:
        assert configs.from_text(configs.to_yaml(config)) == config
    else:
        assert told.what
        assert told.expected or told.remedy
        assert len(str(told)) < 4000


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.binary(max_size=8)
    | st.sampled_from(["auto", "batch", "5 epochs", "drawn:10", "float64", "1e3", "gs://b/c"])
)
TREES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.text(max_size=8) | SCALARS.filter(lambda s: s is not None), below, max_size=3
        )
    ),
    max_leaves=8,
)


@FUZZ
@given(st.text(max_size=200))
@example("[" * 5000)
@example("{a: " * 400)
@example("? " * 3000)
@example("a: !!binary x")
@example("a: !!timestamp 2020-99-99")
@example("seed: " + "9" * 5000)
@example("seed: 1e999999")
@example("%YAML 9.9\n---\n")
@example("--- a\n--- b\n")
@example("\ufeffseed: 1")
@example("seed: \x00")
@example("<<: {seed: 1}")
@example("!!set {a, b}")
@example("dataset: !!omap [a: 1]")
@example("0x: 1\n0o7: 2\n1:30: 3")
def test_any_text(text):
    only_config_errors(text)


@FUZZ
@given(st.text(alphabet=string.printable, max_size=60), st.text(max_size=30))
@example("training.steps", "[" * 3000)
@example(".".join(["a"] * 3000), "1")
@example("..", "1")
@example(".seed", "1")
@example("run.", "1")
@example("dataset.address.x.y", "1")
@example("seed", "!!python/name:os.system")
@example("seed", "&a [*a]")
def test_any_override(key, value):
    only_config_errors("", [f"{key}={value}"])


@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4))
def test_any_value_for_the_known_keys(values):
    tree: dict = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        below = tree
        for section in sections:
            below = below.setdefault(section, {})
        below[last] = value
    only_config_errors(yaml.safe_dump(tree, allow_unicode=True))


@FUZZ
@given(TREES)
def test_any_tree(tree):
    only_config_errors(yaml.safe_dump(tree, allow_unicode=True))


@FUZZ
@given(st.binary(max_size=100))
def test_any_bytes_in_a_file(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_bytes(data)
    told = "x.yaml"
    try:
        configs.load(path)
    except ConfigError as error:
        told = error.what
    assert "x.yaml" in told
