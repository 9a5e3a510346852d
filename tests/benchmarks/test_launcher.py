"""What `benchmarks/launcher.py` starts by hand trains as `catgan train` does."""

import os
import subprocess
import sys

import pytest

from benchmarks import launcher_by_hand
from benchmarks.workers import tf_configs
from tests.conftest import REPOSITORY
from trainer import config as configs
from trainer import storage
from trainer.errors import DataError
from trainer.run_folder import RunFolder

TINY = (
    "dataset.source=drawn:24",
    "dataset.size_px=32",
    "dataset.val_fraction=0",
    "model.base_channels=2",
    "model.max_channels=4",
    "training.steps=1",
    "training.global_batch=8",
    "log.tensorboard=false",
)


def test_a_worker_that_is_started_by_hand_trains(tmp_path):
    """One of one: what two do, without waiting for each other."""
    config, run = tmp_path / "tiny.yaml", tmp_path / "run"
    config.write_text("")
    words = [f"run={run}", f"dataset.address={tmp_path / 'data'}", *TINY]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.launcher_by_hand", str(config), *words],
        cwd=REPOSITORY,
        env={**os.environ, "TF_CONFIG": tf_configs(1)[0]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record = RunFolder(storage.open_folder(str(run))).read_record()
    assert [start.world_size for start in record.starts] == [1]
    assert (run / "checkpoints/step-000000001/manifest.json").is_file()


def test_a_data_set_that_nobody_prepares_is_not_waited_for_for_ever(tmp_path):
    config = configs.from_text("", [f"dataset.address={tmp_path / 'none'}"], name="tiny")
    with pytest.raises(DataError, match="none"):
        launcher_by_hand._opened(config, secs=0.0)
