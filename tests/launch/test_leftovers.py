"""What a process that trains has put into the temporary folder, should it be killed now."""

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

# Told before the process ends by itself, when TensorFlow would clean up.
TRAIN = """
import os, sys, tempfile
from trainer.cli.main import run
code = run(sys.argv[1:])
print(os.listdir(tempfile.gettempdir()))
sys.exit(code)
"""


@pytest.mark.parametrize("deterministic", ["true", "false"])
def test_nothing_lies_in_the_temporary_folder(small, tmp_path, deterministic):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # Some calls of one step, some of several.
    often = ("metrics.every_steps=8", "checkpoint.every_steps=8", "loss.penalty_every_steps=4")
    words = (f"run={tmp_path / 'run'}", "training.steps_per_call=3", *often)
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, "train", str(small.config), *words,
         f"deterministic={deterministic}"],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
