"""Which cluster a command joins, and what its config's workers get there."""

import pytest

from trainer.config.cluster import ClusterSettings
from trainer.launch import ray_address, ray_cluster
from trainer.launch.ray_cluster import connected_for


def test_what_a_command_means_that_names_no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_address.meant(None) == "local"
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    assert ray_address.meant(None) == "auto"
    assert ray_address.meant("local") == "local"


@pytest.mark.parametrize(("gpus", "extras"), [(0, ()), (1, ("gpu",))])
def test_workers_with_gpus_are_sent_tensorflow_with_cuda(monkeypatch, gpus, extras):
    asked = []
    monkeypatch.setattr(ray_cluster, "connected", lambda *given, **named: asked.append(named))
    settings = ClusterSettings(
        package="pip", workers=(1, 999), cpus_per_worker=3, gpus_per_worker=gpus
    )
    connected_for(settings, "auto")
    assert asked == [{"cpus": 3 * 999, "package": "pip", "extras": extras}]
