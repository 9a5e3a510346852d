"""Pictures from runs, checkpoints and saved generators."""

import numpy as np
import pytest
from PIL import Image

from tests.callbacks import tiny_run
from trainer import drawing
from trainer.drawing import FRAMES_BETWEEN, GenerateOptions, generate, open_generator
from trainer.errors import CheckpointError, ConfigError
from trainer.gan import sampling


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run with normal latents."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_run.train(folder)
    return folder / "run"


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_seed_gives_the_same_bytes_whatever_is_drawn_beside_it(run, tmp_path):
    many, one = tmp_path / "many", tmp_path / "one"
    written = generate(str(run), str(many), GenerateOptions(count=40, seed=1005))
    assert written == [f"seed-{seed:09d}.png" for seed in range(1005, 1045)]
    assert sorted(path.name for path in many.iterdir()) == written
    for seed in (1005, 1007, 1020, 1044):
        (name,) = generate(str(run), str(one), GenerateOptions(count=1, seed=seed))
        assert (one / name).read_bytes() == (many / name).read_bytes()


def test_run_checkpoint_and_saved_generator_draw_the_same(run, tmp_path):
    addresses = [run, run / "checkpoints" / "step-000000012", run / "generator.keras"]
    drawn = []
    for number, address in enumerate(addresses):
        generate(str(address), str(tmp_path / str(number)), GenerateOptions(count=3))
        drawn.append([read(path) for path in sorted((tmp_path / str(number)).iterdir())])
    assert np.array_equal(drawn[0], drawn[1])
    assert np.abs(np.array(drawn[0], int) - np.array(drawn[2], int)).max() <= 1


def test_the_last_grid_of_training_shows_the_same_seeds(run, tmp_path):
    generate(str(run), str(tmp_path), GenerateOptions(count=4, grid=True))
    ours, trained = read(tmp_path / "grid.png"), read(run / "samples" / "latest.png")
    assert np.abs(ours.astype(int) - trained.astype(int)).max() <= 1


def test_an_older_checkpoint_draws_other_pictures(run, tmp_path):
    generate(
        str(run / "checkpoints" / "step-000000005"), str(tmp_path / "old"), GenerateOptions(count=1)
    )
    generate(str(run), str(tmp_path / "new"), GenerateOptions(count=1))
    name = "seed-000000000.png"
    assert (tmp_path / "old" / name).read_bytes() != (tmp_path / "new" / name).read_bytes()


def test_a_grid_holds_the_single_pictures(run, tmp_path):
    generate(str(run), str(tmp_path), GenerateOptions(count=20, grid=True))
    grid = read(tmp_path / "grid.png")
    assert grid.shape == (4 * 32, 5 * 32, 3)
    assert np.array_equal(grid[32:64, 64:96], read(tmp_path / "seed-000000007.png"))


def test_interpolation_goes_from_seed_to_seed(run, tmp_path):
    written = generate(str(run), str(tmp_path), GenerateOptions(count=3, seed=5, interpolate=True))
    assert len(written) == 2 * FRAMES_BETWEEN + 2
    generate(str(run), str(tmp_path / "single"), GenerateOptions(count=3, seed=5))
    for number, seed in ((0, 5), (FRAMES_BETWEEN, 6), (2 * FRAMES_BETWEEN, 7)):
        frame = read(tmp_path / f"interpolation-{number:04d}.png").astype(int)
        single = read(tmp_path / "single" / f"seed-{seed:09d}.png").astype(int)
        assert np.abs(frame - single).max() <= 1
    strip = read(tmp_path / "interpolation.png")
    assert strip.shape == (2 * 32, (FRAMES_BETWEEN + 1) * 32, 3)
    assert np.array_equal(strip[:32, -32:], strip[32:, :32])  # a row ends where the next begins


def test_the_strip_of_a_long_interpolation_ends_where_the_next_row_would_begin(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(drawing, "_MOST_PAIRS", 1)
    generate(str(run), str(tmp_path), GenerateOptions(count=3, seed=5, interpolate=True))
    strip = read(tmp_path / "interpolation.png")
    assert strip.shape == (32, (FRAMES_BETWEEN + 1) * 32, 3)
    next_seed = read(tmp_path / f"interpolation-{FRAMES_BETWEEN:04d}.png")
    assert np.array_equal(strip[:, -32:], next_seed)


def test_truncation_changes_pictures_and_is_refused_for_uniform_latents(run, tmp_path):
    generate(str(run), str(tmp_path / "whole"), GenerateOptions(count=1))
    generate(str(run), str(tmp_path / "cut"), GenerateOptions(count=1, truncation=0.3))
    name = "seed-000000000.png"
    assert (tmp_path / "whole" / name).read_bytes() != (tmp_path / "cut" / name).read_bytes()

    tiny_run.train(tmp_path, "model.latent_distribution=uniform", "training.steps=4")
    for address in (tmp_path / "run", tmp_path / "run" / "generator.keras"):
        with pytest.raises(ConfigError, match="truncation"):
            generate(str(address), str(tmp_path / "none"), GenerateOptions(truncation=1.0))
    assert not (tmp_path / "none").exists()


def test_without_checkpoints_the_saved_generator_is_taken(run, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "generator.keras").write_bytes((run / "generator.keras").read_bytes())
    assert open_generator(str(copy)).origin.endswith("generator.keras")


@pytest.mark.parametrize(
    "wish",
    [
        GenerateOptions(count=0),
        GenerateOptions(seed=-1),
        GenerateOptions(count=5000, grid=True),
        GenerateOptions(count=1, interpolate=True),
        GenerateOptions(count=8, interpolate=True, grid=True),
    ],
)
def test_wishes_that_make_no_sense_are_refused_before_anything_is_read(wish, tmp_path):
    with pytest.raises(ConfigError):
        generate(str(tmp_path / "nowhere"), str(tmp_path / "out"), wish)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"PK not a model"])
def test_a_file_that_is_no_generator(content, tmp_path):
    path = tmp_path / "other.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.keras") as caught:
        generate(str(path), str(tmp_path / "out"), GenerateOptions())
    assert caught.value.remedy


def test_another_keras_model_is_refused(tmp_path):
    import keras

    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="other")
    other.save(tmp_path / "other.keras")
    with pytest.raises(CheckpointError, match="named 'other'"):
        open_generator(str(tmp_path / "other.keras"))


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        open_generator(str(tmp_path))


def test_memory_does_not_grow_with_the_count(monkeypatch, tmp_path, run):
    """Every picture is on disk before the batch after the next is drawn."""
    drawn = []
    generator = open_generator(str(run))
    written = tmp_path / "out"

    def draw(latents):
        there = len(list(written.iterdir())) if written.exists() else 0
        drawn.append((len(drawn) * sampling.DRAW_BATCH, there))
        return generator.draw(latents)

    monkeypatch.setattr(
        "trainer.drawing.open_generator",
        lambda address: type(generator)("here", 4, "normal", 1.0, draw),
    )
    generate("anything", str(written), GenerateOptions(count=5 * sampling.DRAW_BATCH))
    assert all(there == expected for expected, there in drawn)
