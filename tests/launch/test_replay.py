"""Any step rebuilt: what the run's own rows and checkpoints say of it."""

import numpy as np
import pytest

from tests.launch.conftest import EVERY, STEPS, open_run
from trainer.run_folder import read_metrics


@pytest.fixture
def replayed(small, tmp_path):
    """`catgan replay` in a process of its own; the arrays and the page."""

    def run(address, step, *words):
        out = tmp_path / f"step-{step}"
        process = small.server.catgan(
            "replay", str(address), *words, "--step", str(step), "--out", str(out),
            "--scratch", str(tmp_path / "scratch"),
        )  # fmt: skip
        assert process.wait() == 0, process.told()
        assert not [path for path in tmp_path.iterdir() if path.name.startswith("scratch")]
        with np.load(out / "step.npz") as arrays:
            return dict(arrays), (out / "step.html").read_text()

    return run


@pytest.mark.parametrize("step", [1, EVERY + 1, 2 * EVERY + 3, STEPS])
def test_the_step_has_the_figures_that_the_run_noted(replayed, unbroken, step):
    arrays, page = replayed(unbroken, step)
    row = next(row for row in read_metrics(open_run(unbroken)) if row["step"] == step)
    assert arrays["real_logits"].mean() == pytest.approx(row["d_real_logit"], rel=1e-5, abs=1e-7)
    assert arrays["fake_logits"].mean() == pytest.approx(row["d_fake_logit"], rel=1e-5, abs=1e-7)
    # weight / 2 times the mean squared norm, as the loss section has it by default.
    norms = arrays["real_gradient_norms"]
    assert 0.5 * np.mean(norms**2) == pytest.approx(row["r1_penalty"], rel=1e-4)
    assert arrays["real_images"].shape == (8, 32, 32, 3)
    assert arrays["latents"].shape == (8, 8)
    assert "The run's own row says the same, to the last digit." in page.replace("&#39;", "'")
    assert page.count('as D sees it">') == 16


def test_augmented_pictures_are_those_that_d_saw(small, replayed, tmp_path):
    run = tmp_path / "run"
    keys = ("augment.kinds=[colour,translation]", "training.steps=6", "checkpoint.every_steps=4")
    small.train(run, *keys).succeed()
    arrays, _ = replayed(run, 6)
    assert not np.array_equal(arrays["real_images"], arrays["real_augmented"])
    row = next(row for row in read_metrics(open_run(run)) if row["step"] == 6)
    assert arrays["real_logits"].mean() == pytest.approx(row["d_real_logit"], rel=1e-5, abs=1e-7)


def test_the_command_of_a_stop_shows_the_bad_step(small, replayed, tmp_path):
    """Its weights are finite before it: what is bad comes with the step."""
    run = tmp_path / "run"
    config = tmp_path / "wild.yaml"
    text = small.config.read_text()
    text = text.replace("training: {", "training: {max_rollbacks: 0, ")
    # Half precision ends at 65,504, and the first update makes weights of ten.
    config.write_text(text + "precision: float16\ndiscriminator_optimizer: {rate: 9.9}\n")
    process = small.server.catgan("train", str(config), f"run={run}")
    assert process.wait() == 7
    told = process.told()
    (command,) = [part for part in told.split("; ") if "catgan replay" in part]
    step = int(command.split("--step ")[1].split()[0])
    arrays, page = replayed(run, step)
    assert len(arrays["fake_logits"]) == 8
    assert "nan" in page or "inf" in page


def test_a_step_that_the_run_has_not(small, unbroken, tmp_path):
    process = small.server.catgan("replay", str(unbroken), "--step", str(STEPS + 1))
    assert process.wait() == 2
    assert f"a step from 1 to {STEPS}" in process.told()
    process = small.server.catgan("replay", str(tmp_path / "nothing"), "--step", "1")
    assert process.wait() == 5
