"""What a person is told of checkpoints that are written behind the training."""

import logging
import time
from types import SimpleNamespace

import pytest

from tests.checkpoint.conftest import begin, meta_of, state_of
from trainer import checkpoint, storage
from trainer.callbacks import checkpointing
from trainer.callbacks.base import closing
from trainer.callbacks.cadence import Cadence, Due
from trainer.callbacks.checkpointing import Checkpointing
from trainer.run_folder import RunFolder

WAITING = "step-000000010 waits for the checkpoint before it (1 so far in this start)"


@pytest.fixture
def told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("catgan"), "propagate", True)
    caplog.set_level(logging.INFO, logger="catgan.checkpoint")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "catgan.checkpoint"]


def train(place, total_steps, before_publish):
    """Saves every five steps, as in a fit whose steps take no time; returns the run folder."""
    run = RunFolder(storage.open_folder(str(place)))
    start = begin(run).start
    with checkpoint.CheckpointStore(run, start, before_publish=before_publish) as store:
        due = Due(Cadence(5), total_steps, 0.0)
        saving = Checkpointing(store, due, meta_of, lambda: 0.0)
        for step in range(total_steps + 1):
            saving.set_model(SimpleNamespace(step=step, state=lambda s=step: state_of(s)))
            if step == 0:
                saving.on_train_begin()
            else:
                saving.on_train_batch_end(step)
        with closing([saving]):
            saving.on_train_end()
    return run


@pytest.mark.parametrize("long_secs", [0.0, 1000.0])
def test_a_save_that_waited_for_the_one_before_is_counted(tmp_path, told, monkeypatch, long_secs):
    monkeypatch.setattr(checkpointing, "_LONG_WAIT_SECS", long_secs)

    def slow_storage(step):
        """Holds the first checkpoint back until the second one stands behind it."""
        deadline = time.monotonic() + 60
        while step == 5 and WAITING not in told() and time.monotonic() < deadline:
            time.sleep(0.01)
        while step == 10 and not saved_last(told()) and time.monotonic() < deadline:
            time.sleep(0.01)

    def saved_last(lines):
        return any(line.startswith("step-000000011 waits") for line in lines)

    run = train(tmp_path / "run", 11, slow_storage)
    assert WAITING in told()
    counted = [line for line in told() if line.startswith("2 of 3 checkpoints waited for ")]
    assert len(counted) == 1
    assert ("set checkpoint.every_steps higher" in told()[-1]) == (long_secs == 0)
    assert [listed.step for listed in checkpoint.list_all(run)] == [5, 10, 11]


def test_nothing_is_said_where_none_waited(tmp_path, told):
    train(tmp_path / "run", 5, lambda step: None)
    assert not [line for line in told() if "wait" in line]
