"""The table of all keys, and words that options share with keys."""

from typing import get_args

import pytest

from trainer.cli import choices
from trainer.config import Config
from trainer.config.load import all_keys
from trainer.data import options


def test_every_key_is_listed_with_its_default_and_meaning(catgan):
    ended = catgan("train", "--keys")
    assert ended.code == 0
    for key, field in all_keys().items():
        assert key in ended.out
        assert field.description.split()[0] in ended.out


def test_as_json_the_defaults_are_values(catgan):
    rows = {row["key"]: row for row in catgan("train", "--keys", "--json").answer}
    assert list(rows) == list(all_keys())
    assert rows["training.steps"]["default"] == Config().training.steps
    assert rows["checkpoint.every_steps"] == {
        "key": "checkpoint.every_steps",
        "default": "500",
        "allowed": "interval",
        "help": "interval: steps, '5 epochs' or '10 mins'",
    }
    assert rows["precision"]["allowed"].split("|")[0] == "auto"
    assert rows["model.picture_scale"]["allowed"] == "number > 0 ≤ 1"


@pytest.mark.parametrize(("key", "name"), [("crop", "CROPS"), ("encoding", "ENCODINGS")])
def test_options_take_the_words_that_configs_take(key, name):
    words = getattr(choices, name)
    assert words == get_args(all_keys()[f"dataset.{key}"].annotation)
    assert words == getattr(options, name)
