"""What is checked on this machine before a run is sent to a cluster."""

import pytest

from tests.run_folder.begun import begin_start
from trainer import config as configs
from trainer import storage
from trainer.errors import ConfigError, DataError
from trainer.launch.submit import plan_resumption
from trainer.run_folder import NewRun, RunFolder


@pytest.fixture
def run(tmp_path, monkeypatch) -> RunFolder:
    """A run in the working folder; its data set is nowhere."""
    monkeypatch.chdir(tmp_path)
    run = RunFolder(storage.open_folder("runs/cats"))
    begin_start(run, 0, NewRun("cats", "/data/cats", "f00d", "c0ffee"), host="here")
    config = configs.from_text(f"dataset: {{address: {tmp_path / 'nothing'}}}", name="cats")
    run.write_config(configs.to_yaml(config))
    return run


def test_a_run_of_this_machine_only_is_not_resumed_elsewhere(run):
    with pytest.raises(ConfigError, match="the run is 'runs/cats', a folder of") as told:
        plan_resumption("runs/cats", (), None, shares_disk=False)
    assert "run=gs://BUCKET/runs/cats" in told.value.remedy


@pytest.mark.parametrize("shares_disk", [True, False])
def test_an_absolute_path_may_be_mounted_there(run, shares_disk):
    with pytest.raises(DataError):  # the next check
        plan_resumption(run.address, (), None, shares_disk=shares_disk)
    with pytest.raises(DataError):
        plan_resumption("runs/cats", (), None, shares_disk=True)
