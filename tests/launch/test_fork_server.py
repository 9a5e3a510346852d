"""Processes that were forked are like those that were started anew."""

import os
import subprocess
import sys

from tests.conftest import REPOSITORY
from tests.launch.conftest import STEPS, assert_same_bits, state_at
from trainer.run_folder import RunFolder


def test_a_fresh_process_ends_at_the_same_bits(small, unbroken, tmp_path):
    run = tmp_path / "fresh"
    ended = subprocess.run(
        [sys.executable, "-m", "trainer", "train", small.config, f"run={run}"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    assert_same_bits(run, unbroken)
    assert ended.stdout.strip() == str(run)


def test_the_states_hold_everything(unbroken):
    groups = {name.split("/")[0] for name in state_at(unbroken, STEPS)}
    wanted = {"generator", "discriminator", "ema", "generator_optimizer", "discriminator_optimizer"}
    assert wanted <= groups
    assert RunFolder
