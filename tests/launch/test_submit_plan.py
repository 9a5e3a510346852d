"""What is checked on this machine before a run is sent to a cluster."""

import pytest

from tests.run_folder.begun import begin_start
from trainer import config as configs
from trainer import storage
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
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


def test_addresses_among_the_overrides_mean_the_same_there(run, tmp_path):
    """The job's working folder is another one."""
    prepare("drawn:8", str(tmp_path / "moved"), PrepareOptions(size_px=64, workers=1))
    words = ("dataset.address=moved", "training.steps=9")
    plan = plan_resumption("runs/cats", words, None, shares_disk=True)
    assert f"dataset.address={tmp_path}/moved" in plan.words
    assert "training.steps=9" in plan.words
    with pytest.raises(ConfigError, match=r"dataset\.address is .moved., a folder"):
        plan_resumption(run.address, words, None, shares_disk=False)
