"""Strangers among drawn cats: found by a short real run, and left out by the list."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from trainer import config as configs
from trainer.data.drawn import draw_cat
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.launch import door
from trainer.launch.starting import open_dataset
from trainer.outliers.find import find_outliers

SIZE_PX, CATS, STRANGERS = 32, 760, 40
YAML = f"""
dataset: {{size_px: {SIZE_PX}, val_fraction: 0}}
training: {{steps: 800, global_batch: 16, steps_per_call: 10}}
generator_optimizer: {{rate: 8e-4}}
discriminator_optimizer: {{rate: 8e-4}}
checkpoint: {{every_steps: 100, keep_last: 8}}
samples: {{every_steps: 0, count: 4}}
log: {{tensorboard: false}}
"""


def stranger(number):
    """Noise, an inverted cat, shapes or one colour."""
    random = np.random.default_rng(number)
    if number % 4 == 0:
        return random.integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
    if number % 4 == 1:
        return 255 - draw_cat(10_000 + number, 0, SIZE_PX)[0]
    colours = [tuple(int(part) for part in random.integers(0, 256, 3)) for _ in range(4)]
    image = Image.new("RGB", (SIZE_PX, SIZE_PX), colours[0])
    pen = ImageDraw.Draw(image)
    for colour in colours[1:] if number % 4 == 2 else []:
        left, top = (int(place) for place in random.integers(0, SIZE_PX // 2, 2))
        width, height = (int(side) for side in random.integers(4, SIZE_PX // 2, 2))
        pen.ellipse([left, top, left + width, top + height], fill=colour)
    return np.asarray(image)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder with `pictures`, the data set `set` of them, and `run`, trained on it."""
    folder = tmp_path_factory.mktemp("mixed")
    for part in ("cats", "strangers"):
        (folder / "pictures" / part).mkdir(parents=True)
    for number in range(CATS):
        picture = draw_cat(number, 0, SIZE_PX)[0]
        Image.fromarray(picture).save(folder / "pictures" / "cats" / f"{number}.png")
    for number in range(STRANGERS):
        path = folder / "pictures" / "strangers" / f"{number}.png"
        Image.fromarray(stranger(number)).save(path)
    options = PrepareOptions(size_px=SIZE_PX, workers=1, val_fraction=0)
    prepare(str(folder / "pictures"), str(folder / "set"), options)
    places = [f"run={folder / 'run'}", f"dataset.address={folder / 'set'}"]
    door.train(configs.from_text(YAML, places))
    return folder


def find(mixed, out, checkpoint="", **wishes):
    address = mixed / "run" / checkpoint
    return find_outliers(str(address), str(out), open_dataset=open_dataset, **wishes)


LAST = "checkpoints/step-000000800"


def test_most_strangers_are_among_the_worst_and_the_list_leaves_them_out(mixed, tmp_path):
    found = find(mixed, tmp_path / "out", count=STRANGERS)
    strange = {int(o.name[10:-4]) for o in found.outliers if o.name.startswith("strangers/")}
    # By chance it would be two. Inverted cats are not counted: at 32 px they are cats of
    # another colour.
    assert len({number for number in strange if number % 4 != 1}) > STRANGERS * 3 // 8, strange
    scores = [outlier.score for outlier in found.outliers]
    assert scores == sorted(scores, reverse=True)
    assert len(found.checkpoints) == 8
    assert found.judged == CATS + STRANGERS

    listed = tmp_path / "out" / "outliers.txt"
    options = PrepareOptions(size_px=SIZE_PX, workers=1, val_fraction=0, exclude=str(listed))
    manifest = prepare(str(mixed / "pictures"), str(tmp_path / "set"), options)
    assert manifest.counts.reasons == {"excluded": STRANGERS}
    rejected = (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in rejected} == {o.name for o in found.outliers}


def test_the_same_again_whatever_is_asked_for(mixed, tmp_path):
    many = find(mixed, tmp_path / "many", LAST, count=100)
    few = find(mixed, tmp_path / "few", LAST, count=7)
    assert many.outliers[:7] == few.outliers
    assert len(many.outliers) == 100


def test_the_sheet_shows_the_pictures_that_are_named(mixed, tmp_path):
    found = find(mixed, tmp_path, LAST, count=4)
    with Image.open(tmp_path / "outliers.png") as image:
        sheet = np.asarray(image)
    caption = sheet.shape[0] // 2 - 128
    assert sheet.shape == (2 * (128 + caption), 256, 3)
    for number, outlier in enumerate(found.outliers):
        top, left = (128 + caption) * (number // 2), 128 * (number % 2)
        with Image.open(mixed / "pictures" / outlier.name) as image:
            picture = np.asarray(image)
        assert np.array_equal(sheet[top : top + 128 : 4, left : left + 128 : 4], picture)
        assert sheet[top + 128 : top + 128 + caption, left : left + 128].max() > 200


def test_one_checkpoint_judges_alone_and_another_set_is_judged_too(mixed, tmp_path):
    prepare("drawn:70", str(tmp_path / "set"), PrepareOptions(size_px=SIZE_PX, workers=1))
    found = find(mixed, tmp_path / "out", LAST, against=str(tmp_path / "set"))
    assert [address[-6:] for address in found.checkpoints] == ["000800"]
    assert found.dataset == str(tmp_path / "set")
    assert all(outlier.name.startswith("drawn-") for outlier in found.outliers)
