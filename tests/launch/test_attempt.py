"""What an attempt leaves behind in the driver's process, and a mailbox that is gone."""

import os

import pytest
import ray

from trainer.config.cluster import ClusterSettings
from trainer.errors import ClusterError
from trainer.launch import attempt, mailbox

START = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
HANG = "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"


def test_the_limits_of_a_run_do_not_outlive_it(monkeypatch):
    monkeypatch.setenv(HANG, "7")
    monkeypatch.delenv(START, raising=False)
    before = dict(os.environ)
    for secs in (30, 40):
        told = attempt._variables(ClusterSettings(start_timeout_secs=secs, hang_timeout_secs=secs))
        with attempt._set_where_unset(told):
            assert float(os.environ[START]) == secs
            assert os.environ[HANG] == "7", "what the person has set stands"
            assert os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"]
        assert dict(os.environ) == before


class Gone:
    """The handle of an actor that has died."""

    @property
    def begin_attempt(self):
        return self

    def remote(self, attempt: int) -> None:
        return None


def test_a_mailbox_that_is_gone_is_told(monkeypatch):
    def dead(reference, timeout):
        raise ray.exceptions.ActorDiedError

    monkeypatch.setattr(ray, "get", dead)
    with pytest.raises(ClusterError, match="coordinator") as told:
        mailbox.begin_attempt(Gone(), 2)
    assert told.value.expected
    assert "goes on from the newest checkpoint" in told.value.remedy
