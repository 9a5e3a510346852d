"""What a config of the covering has to survive in one process: precision, resume, XLA."""

import numpy as np
import pytest

from tests.gan.small import assert_close
from tests.pairs import MOST_ROWS, NEUTRAL, covering_rows, words
from trainer import config as configs
from trainer.errors import ConfigError
from trainer.gan.build import build_gan

pytestmark = pytest.mark.slow


def test_rows_are_few_and_cover_every_pair_that_is_allowed():
    rows, refused = covering_rows()
    assert len(rows) <= MOST_ROWS
    for pair in refused:
        with pytest.raises(ConfigError):
            configs.from_text("", words({**NEUTRAL, **dict(pair)}))


@pytest.fixture
def deterministic():
    """The same bits from the same numbers, as `deterministic: true` has it; only for one test."""
    import tensorflow as tf
    from tensorflow.python.framework.config import disable_op_determinism

    tf.config.experimental.enable_op_determinism()
    yield
    disable_op_determinism()


@pytest.fixture(params=range(MOST_ROWS))
def row(request):
    rows, _ = covering_rows()
    if request.param >= len(rows):
        pytest.skip(f"{len(rows)} rows cover all")
    return rows[request.param]


@pytest.fixture
def pictures():
    """uint8 `[steps, batch, 32, 32, 3]`."""
    return np.random.default_rng(0).integers(0, 256, (4, 12, 32, 32, 3), np.uint8)


@pytest.mark.usefixtures("deterministic")
def test_a_row_trains_and_is_resumed_exactly(row, pictures, train):
    config = configs.from_text("", words(row))
    whole, part, again = build_gan(config), build_gan(config), build_gan(config)
    figures = train(whole, pictures)
    assert all(np.isfinite(value) for value in figures.values()), figures
    train(part, pictures[:2])
    again.load_state(part.state(), 2)
    train(again, pictures[2:], first=2)
    assert_close(whole.state(), again.state(), 0)


def test_a_row_is_the_same_compiled(row, pictures, train):
    config = configs.from_text("", [*words(row), "precision=float64"])
    plain, compiled = build_gan(config), build_gan(config, jit=True)
    train(plain, pictures[:3])
    train(compiled, pictures[:3])
    assert_close(plain.state(), compiled.state(), 1e-6)
