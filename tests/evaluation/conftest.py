"""A small data set of drawn cats with held-out pictures, and a small feature network in a file."""

import keras
import numpy as np
import pytest

from tests.data.small_sets import write_set
from trainer.data.drawn import draw_cat

TRAIN, HELD_OUT, SIZE_PX = 260, 140, 32


@pytest.fixture(scope="session")
def cats():
    """uint8 `[400, 32, 32, 3]`: drawn cats, all different."""
    return np.stack([draw_cat(index, 0, SIZE_PX)[0] for index in range(TRAIN + HELD_OUT)])


@pytest.fixture(scope="session")
def shared_set(tmp_path_factory, cats):
    """Address of a data set of these cats; its features folder grows, nothing else may."""
    folder = tmp_path_factory.mktemp("cats") / "set"
    write_set(folder, cats, validation=HELD_OUT)
    return str(folder)


@pytest.fixture
def cat_set(tmp_path, cats):
    """The same for one test alone."""
    write_set(tmp_path / "set", cats, validation=HELD_OUT)
    return str(tmp_path / "set")


@pytest.fixture(scope="session")
def network_file(tmp_path_factory):
    """A saved network of random filters whose 24 numbers see colour, edges and texture."""
    keras.utils.set_random_seed(3)
    pictures = keras.Input((SIZE_PX, SIZE_PX, 3))
    x = keras.layers.Conv2D(24, 5, 2, activation="relu")(pictures)
    x = keras.layers.Conv2D(24, 3, 2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pictures, keras.layers.Dense(7, activation="softmax")(x))
    path = tmp_path_factory.mktemp("network") / "filters.keras"
    model.save(path)
    return str(path)
