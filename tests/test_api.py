"""What programs may import: all of it there, typed, described, and light until used."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

import trainer
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("name", trainer.__all__)
def test_every_name_is_there_and_described(name):
    found = getattr(trainer, name)
    assert name in dir(trainer)
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = trainer.nothing
    with pytest.raises(ImportError):
        exec("from trainer import nothing")


def test_what_needs_no_tensorflow_imports_none():
    code = (
        "import sys, trainer; from trainer import load_config, prepare, train, resume, generate, "
        "write_report, write_film, GenerateOptions, Config, open_checkpoint; "
        "print(any(name in sys.modules for name in ('tensorflow', 'ray', 'keras')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_from_pictures_to_figures(tmp_path, monkeypatch):
    """All of it in a row, as a program would."""
    from trainer import (
        EvaluateOptions,
        GenerateOptions,
        PrepareOptions,
        build_gan,
        evaluate,
        generate,
        load_config,
        open_checkpoint,
        open_dataset,
        open_generator,
        prepare,
        train,
        write_report,
    )

    monkeypatch.chdir(tmp_path)
    prepare("drawn:60", "pictures", PrepareOptions(size_px=32, val_fraction=0.5))
    dataset = open_dataset("pictures")
    batch = next(iter(dataset.batches(seed=0, global_batch=6, lanes=2)))
    assert batch.shape == (6, 32, 32, 3)
    small = ["dataset.address=pictures", "dataset.size_px=32", "dataset.val_fraction=0.5",
             "model.base_channels=2", "training.steps=3", "training.global_batch=6",
             "run=runs/small"]  # fmt: skip
    config = load_config(REPOSITORY / "configs" / "cats64-quick.yaml", small)
    outcome = train(config)
    assert (outcome.status, outcome.step) == ("finished", 3)
    found = open_checkpoint(outcome.run)
    gan = build_gan(config)
    gan.load_state(found.load(), found.step)
    names = generate(outcome.run, "drawn", GenerateOptions(count=2))
    assert names == ["seed-000000000.png", "seed-000000001.png"]
    generator = open_generator(outcome.run)
    latents = np.zeros((1, generator.latent_dim), np.float32)
    assert generator.pictures(latents).dtype == np.uint8
    page = write_report([outcome.run], "report.html")
    assert page["runs"] == 1
    with pytest.raises(trainer.errors.CatganError, match="2 pictures on each side"):
        evaluate("drawn", "pictures", EvaluateOptions(("kid",), ("efficientnet-lite0",)))
