"""A run that leaves the numbers is stopped before it keeps anything."""

import pytest

from tests.callbacks import tiny_run
from trainer import checkpoint
from trainer.callbacks.base import StepCallback
from trainer.errors import TrainingError


class Poison(StepCallback):
    """Puts a NaN into the discriminator after one step, as a diverging run would."""

    def __init__(self, after_step: int) -> None:
        super().__init__()
        self.after_step = after_step

    def after_call(self, step, logs):
        if step == self.after_step:
            kernel = self.model.discriminator.trainable_variables[0]
            kernel.assign(kernel.numpy() * float("nan"))


def test_the_step_the_last_good_checkpoint_and_what_to_try_are_named(tmp_path):
    with pytest.raises(TrainingError, match="step 7") as caught:
        tiny_run.train(tmp_path, callbacks=[Poison(6)])
    error = caught.value
    assert "step-000000005" in error.what
    assert f"catgan resume {tmp_path / 'run'}" in error.remedy
    assert "generator_optimizer.rate=0.0002" in error.remedy
    assert [listed.step for listed in checkpoint.list_all(tiny_run.run_folder(tmp_path))] == [5]


def test_weights_that_broke_after_the_losses_were_taken_are_not_kept(tmp_path):
    """Behind the training, which may go on until it hears of it, or until its losses break, too."""
    with pytest.raises(TrainingError, match=r"(after step 10|of step 11) are not finite") as caught:
        tiny_run.train(tmp_path, callbacks=[Poison(10)])
    assert "step-000000005" in caught.value.what
    assert [listed.step for listed in checkpoint.list_all(tiny_run.run_folder(tmp_path))] == [5]


def test_no_run_ends_well_with_broken_weights(tmp_path):
    with pytest.raises(TrainingError, match="the weights after step 12 are not finite") as caught:
        tiny_run.train(tmp_path, callbacks=[Poison(12)])
    assert "the last good checkpoint is step-000000010" in caught.value.what
    kept = [listed.step for listed in checkpoint.list_all(tiny_run.run_folder(tmp_path))]
    assert kept == [5, 10]


def test_a_stop_does_not_keep_broken_weights_either(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint before it") as caught:
        tiny_run.train(tmp_path, "training.steps=4", callbacks=[Poison(2)])
    assert "start again" in caught.value.remedy
    assert checkpoint.list_all(tiny_run.run_folder(tmp_path)) == []


def test_advice_follows_the_config(tmp_path):
    overrides = ["loss.r1_weight=0", "precision=bfloat16"]
    with pytest.raises(TrainingError) as caught:
        tiny_run.train(tmp_path, *overrides, callbacks=[Poison(1)])
    assert "precision=float32" in caught.value.remedy
    assert "loss.r1_weight=1" in caught.value.remedy
