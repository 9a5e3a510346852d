"""The short form of what `test_submit.py` tries at length, in every test run: one submitted job."""

import json
import secrets
import sys
from pathlib import Path

from tests.cluster.driving import CONFIG, record
from tests.cluster.heads import head
from tests.cluster.telling import told_by
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare

STEPS = 12


def test_a_submitted_job_trains_to_its_end(tmp_path):
    """A head and a node that ask for a token; no token is in what the job leaves behind."""
    pictures, run = tmp_path / "pictures", tmp_path / "run"
    prepare("drawn:24", str(pictures), PrepareOptions(size_px=32, val_fraction=0.0))
    config = tmp_path / "short.yaml"
    config.write_text(CONFIG.replace("ADDRESS", str(pictures)))
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    short = (f"training.steps={STEPS}", "loss.penalty_every_steps=1", "cluster.workers=1")
    with (
        head(Path(sys.executable), tmp_path, cpus=0, jobs=True, token=token) as there,
        there.node(1),
    ):
        server = ("--address", there.dashboard)
        words = ("submit", str(config), f"run={run}", *short, *server)
        assert told_by(there, *words).strip() == str(run)
        (job,) = json.loads(told_by(there, "status", str(run), *server, "--json"))["jobs"]
        log = told_by(there, "logs", job["id"], *server)
    assert (job["state"], job["exit_code"]) == ("succeeded", 0)
    assert "finished: all 12 steps are done" in log
    assert (record(run).status, record(run).step) == ("finished", STEPS)
    left = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    assert not any(token.read_bytes() in data for data in (*left, log.encode()))
