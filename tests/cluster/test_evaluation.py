"""Checkpoints of a run on two workers are measured by Ray tasks, and the run ends with figures."""

import pytest

from tests.cluster.driving import CONFIG, Drive, open_run
from tests.data.small_sets import write_set
from tests.evaluation.conftest import cats, network_file  # noqa: F401 (fixtures)
from trainer.run_folder import read_evaluations


@pytest.mark.cluster
def test_checkpoints_are_measured_beside_the_workers(tmp_path, cats, network_file):  # noqa: F811
    write_set(tmp_path / "set", cats, validation=140)
    config = tmp_path / "measured.yaml"
    config.write_text(CONFIG.replace("ADDRESS", str(tmp_path / "set")))
    run = tmp_path / "run"
    words = ["train", str(config), f"run={run}", "training.steps=40", "checkpoint.every_steps=10"]
    asked = [f"evaluation.features={network_file}", "evaluation.every_steps=10"]
    with Drive(tmp_path, *words, *asked) as drive:
        drive.succeed()
        drive.leaves_nothing()
    found = read_evaluations(open_run(run))
    assert found[-1]["step"] == 40
    assert found[-1]["results"][0]["figures"]["kernel_distance"]["error"] > 0
    assert "kernel distance (filters.keras)" in drive.told()
