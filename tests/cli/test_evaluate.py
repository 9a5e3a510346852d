"""`catgan evaluate`: the command line and its answers."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.conftest import cats, network_file, shared_set  # noqa: F401 (fixtures)


@pytest.fixture
def pictures(tmp_path, cats):  # noqa: F811
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(cats[:120]):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def test_a_person_reads_figures_beside_those_of_real_pictures(
    catgan,
    pictures,
    shared_set,  # noqa: F811
    network_file,  # noqa: F811
):
    ended = catgan(
        "evaluate", pictures, "--against", shared_set, "--features", network_file, "--count", 110
    )
    assert ended.code == 0, ended.err
    assert "kernel distance (filters.keras)" in ended.out
    assert "FID" not in ended.out
    assert "real pictures" in ended.out
    assert "110 pictures on each side" in ended.out
    assert "memorised share" in ended.out
    assert "it may be no judge" in ended.out


def test_a_program_reads_json_and_finds_files(
    catgan,
    pictures,
    shared_set,  # noqa: F811
    network_file,  # noqa: F811
    tmp_path,
):
    options = ["--against", shared_set, "--features", network_file, "--count", 110]
    ended = catgan("evaluate", pictures, *options, "--out", tmp_path / "out", "--json")
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == ended.answer
    origin = ended.answer["results"][0]["provenance"]
    assert origin["count"] == 110
    assert len(origin["weights_sha256"]) == 64
    with Image.open(tmp_path / "out" / "nearest.png") as grid:
        shown = np.asarray(grid)
    # Two rows of eight, below each its nearest training picture: these are training pictures.
    assert shown.shape[0] == shown.shape[1] // 2
    half = shown.shape[0] // 4
    top, below = shown[:half], shown[half : 2 * half]
    assert np.abs(top[2:-2].astype(int) - below[2:-2]).mean() < 12


def test_a_run_knows_its_own_real_pictures_and_asks_for_enough(catgan, trained):
    ended = catgan("evaluate", trained / "runs/tiny", "--metrics", "kid")
    assert ended.code == 3
    assert "100 or more" in ended.err
    assert "--val-fraction" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 2, "--against DATASET"),
        (["nowhere", "--against", "nowhere"], 3, "nowhere"),
        (
            ["nowhere", "--against", "nowhere", "--metrics", "beauty"],
            2,
            "fid, kid, pr, dc, nearest",
        ),
        (["nowhere", "--split", "test"], 2, "validation"),
    ],
)
def test_what_makes_no_sense_is_told(catgan, arguments, code, said):
    ended = catgan("evaluate", *arguments)
    assert (ended.code, said in ended.err) == (code, True), ended.err
