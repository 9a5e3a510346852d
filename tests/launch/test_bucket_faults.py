"""A bucket that fails slows a run down; it does not stop it, nor change it."""

import pytest

from tests.launch.conftest import assert_same_bits, open_run
from trainer.launch import scratch

FAULTS = {
    "503 for every third request": [{"kind": "status", "status": 503, "every": 3}],
    "stalls longer than a request may take": [{"kind": "stall", "secs": 3.0, "every": 40}],
    "cut streams, resets and lost answers": [
        {"kind": "cut", "every": 2, "operations": ["media"]},
        {"kind": "reset", "every": 7},
        {"kind": "lose_answer", "every": 11},
    ],
}


@pytest.mark.parametrize("faults", FAULTS)
def test_slowed_not_stopped_and_the_same_weights(small, unbroken, bucket, tmp_path, faults):
    pictures = f"{bucket.address}/pictures"
    scratch.copy_all(open_run(small.dataset).folder, open_run(pictures).folder)
    for rule in FAULTS[faults]:
        bucket.faults.add(**rule)
    run = f"{bucket.address}/runs/small"
    words = [f"dataset.address={pictures}", f"dataset.cache_dir={tmp_path / 'cache'}"]
    env = {"CATGAN_STORAGE_TIMEOUT_SECS": "1"}
    small.train(run, *words, env=env).succeed()
    fired = [rule["fired"] for rule in bucket.faults.report()["rules"]]
    bucket.faults.clear()
    assert all(fired), fired
    assert_same_bits(run, unbroken)
    assert open_run(run).read_record().status == "finished"
