"""A whole search on a cluster of this machine: killed once, gone on with, a winner."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.launch.processes import wait_until
from trainer import config as configs
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.run_folder import RunFolder
from trainer.storage import open_folder
from trainer.summary import summarise

STEPS = 45
YAML = f"""
dataset: {{address: ADDRESS, size_px: 32}}
model: {{base_channels: 2, max_channels: 8, latent_dim: 8}}
training: {{steps: {STEPS}, global_batch: 8, steps_per_call: 10}}
checkpoint: {{every_steps: 20}}
samples: {{every_steps: 0, count: 4}}
cluster: {{cpus_per_worker: 1}}
log: {{tensorboard: false}}
"""


def start(folder):
    words = ["tune", str(folder / "small.yaml"), "--out", str(folder / "search"), "--json"]
    over = "discriminator_optimizer.rate=1e-4,1e-3"
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *words, "--over", over],
        stdout=subprocess.PIPE,
        stderr=(folder / "told.txt").open("a"),
        start_new_session=True,
    )


@pytest.mark.cluster
def test_a_killed_search_goes_on(tmp_path):
    prepare("drawn:400", str(tmp_path / "set"), PrepareOptions(size_px=32, val_fraction=0.25))
    (tmp_path / "small.yaml").write_text(YAML.replace("ADDRESS", str(tmp_path / "set")))
    runs = [tmp_path / "search" / "trials" / f"trial-000{number}" for number in (0, 1)]

    def told():
        return (tmp_path / "told.txt").read_text()

    first = start(tmp_path)
    wait_until(lambda: (runs[0] / "scores.json").exists(), told)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    before = json.loads((runs[0] / "scores.json").read_text())
    second = start(tmp_path)
    answer = json.loads(second.communicate(timeout=300)[0])
    assert second.returncode == 0, told()
    assert "going on with the search" in told()
    assert json.loads((runs[0] / "scores.json").read_text())[: len(before)] == before
    assert answer["rungs"] == [5, 15, 45]
    rows = {row["number"]: row for row in answer["trials"]}
    assert set(rows) == {0, 1}
    best = answer["trials"][0]
    assert (best["state"], best["step"]) == ("finished", STEPS)
    for row in rows.values():
        record = RunFolder(open_folder(row["run"])).read_record()
        assert record.step == row["step"] == json.loads(_scores(row))[-1]["step"]
    config = configs.load(answer["best"])
    assert config.discriminator_optimizer.rate == (1e-4, 1e-3)[best["number"]]
    assert summarise(config)


def _scores(row):
    return open_folder(row["run"]).read("scores.json")
