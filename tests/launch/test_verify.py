"""`catgan verify-resume`: says yes where resuming is exact, and names what differs where not."""

import json
import logging
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import REPOSITORY
from tests.launch.conftest import open_run
from trainer import config as configs
from trainer.cli import main
from trainer.errors import ConfigError, TerminatedRun
from trainer.launch import verify_damage
from trainer.launch.verify_children import Children
from trainer.launch.verify_compare import differences, within_noise
from trainer.launch.verify_plan import plan


def settings(**training):
    text = f"training: {json.dumps({'steps': 1000, **training})}"
    return configs.from_text(text)


@given(st.integers(1, 128))
def test_a_due_penalty_falls_behind_the_kill(every):
    config = configs.from_text(f"loss: {{penalty_every_steps: {every}}}")
    chosen = plan(config)
    last = math.ceil(2 * chosen.every / every) * every
    assert 2 * chosen.every <= last < chosen.steps == 3 * chosen.every
    assert 2 * chosen.every < chosen.kills[0] < chosen.steps


def test_a_short_run_is_verified_whole():
    config = configs.from_text("{training: {steps: 9}, loss: {penalty_every_steps: 9}}")
    assert plan(config).steps == 9


@pytest.mark.parametrize(
    ("steps", "kills"), [(5, ()), (2000, ()), (12, (12,)), (12, (0,)), (12, (6, 3)), (12, (4, 4))]
)
def test_plans_that_cannot_be(steps, kills):
    with pytest.raises(ConfigError, match="cannot be"):
        plan(settings(), steps=steps, kills=kills)


def test_bits_are_compared_not_values():
    one = {"a": np.array([0.0, float("nan"), 1.0], np.float32), "b": np.arange(3)}
    assert not differences(one, {name: array.copy() for name, array in one.items()})
    negative = {**one, "a": np.array([-0.0, float("nan"), 1.0], np.float32)}
    (found,) = differences(one, negative)
    assert (found.name, found.count, found.size) == ("a", 1, 3)


def test_what_differs_and_by_how_much():
    one = {"x": np.array([1.0, 2.0, 3.0]), "y": np.zeros(2), "z": np.zeros(2)}
    other = {"x": np.array([1.0, 2.5, 3.0]), "y": np.zeros(3)}
    told = [item.told() for item in differences(one, other)]
    assert told[0] == "x: 1 of 3 numbers, by at most 0.5 (the largest there is 3)"
    assert told[1] == "y: another shape or type, or missing"
    assert told[2].startswith("z: another shape")


def test_noise_is_measured_on_the_machine():
    one = {"x": np.array([1.0, 2.0])}
    noise = differences(one, {"x": np.array([1.0, 2.001])})
    assert within_noise(differences(one, {"x": np.array([1.0, 2.005])}), noise)
    assert not within_noise(differences(one, {"x": np.array([1.0, 2.5])}), noise)
    assert not within_noise(differences(one, {"x": np.zeros(3)}), noise)


@pytest.fixture
def forked(small, monkeypatch):
    """The processes of a verification are forked: they import nothing anew."""

    def obeyed(self, order, told, limit_secs):
        process = small.call("verify_order", order.to_json())
        code = process.wait(limit_secs)
        return code, process.output()

    monkeypatch.setattr(Children, "_obeyed", obeyed)


def change_rate(run, step):
    """What no resume may do: go on with another rate."""
    text = run.read("config.yaml").decode()
    assert "rate: 0.0004" in text
    run.write("config.yaml", text.replace("rate: 0.0004", "rate: 0.0005").encode())
    verify_damage.cut_short(run, step)


def test_in_a_bucket_and_with_a_fault_planted(small, forked, bucket, monkeypatch, capsys):
    monkeypatch.setattr("trainer.launch.verify.DAMAGES", {"rate": change_rate})
    run = f"{bucket.address}/runs/small"
    words = [str(small.config), f"run={run}", "--steps", "6", "--json"]
    assert main.run(["verify-resume", *words]) == 5
    out, told = capsys.readouterr()
    report = json.loads(out)
    assert [trial["ok"] for trial in report["trials"]] == [True, True, False]
    assert [trial["resumed_from"] for trial in report["trials"]] == [4, 2, 2]
    assert report["scratch"].startswith(f"{run}-verify-")
    assert not list(open_run(bucket.address).folder.list()), "nothing is left"
    first = report["trials"][-1]["different"][0]
    assert f"killed, rate: {first['name']}: {first['count']} of {first['size']}" in told
    assert "1 of 3 resumed runs do not equal" in told
    assert "processes, about" in told


def test_an_error_of_a_process_is_the_answer(small, forked, tmp_path, capsys):
    words = [str(small.config), f"run={tmp_path / 'run'}", f"dataset.address={tmp_path / 'none'}"]
    assert main.run(["verify-resume", *words]) == 3
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_terminated_it_leaves_nothing(small, tmp_path):
    process = small.server.catgan("verify-resume", str(small.config), f"run={tmp_path / 'run'}")
    process.wait_for("the run without a stop")
    process.send(15)
    assert process.wait() == 143
    assert "the scratch runs are being removed" in process.told()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_of_it_in_processes_of_its_own(small, tmp_path):
    command = [sys.executable, "-m", "trainer", "verify-resume", str(small.config)]
    words = [f"run={tmp_path / 'run'}", "--kill-at", "3", "--kill-at", "7"]
    ended = subprocess.run(
        [*command, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count(" ok") == 5
    assert "Yes: the same weights, statistics and slots, bit for bit" in ended.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_without_determinism_it_says_what_it_compares(small, forked, tmp_path, monkeypatch, capsys):
    obeyed = Children._obeyed
    refused = []

    def refuse_once(self, order, told, limit_secs):
        if not refused:
            refused.append(order)
            return 1, json.dumps({"what": "an operation has no deterministic implementation"})
        return obeyed(self, order, told, limit_secs)

    monkeypatch.setattr(Children, "_obeyed", refuse_once)
    words = [str(small.config), f"run={tmp_path / 'run'}", "--steps", "6"]
    assert main.run(["verify-resume", *words]) == 0
    out, told = capsys.readouterr()
    assert "the same steps, pictures and draws; sums may differ by rounding" in out
    assert "no determinism with this config here" in told


def test_terminated_while_a_line_is_logged(capsys):
    """Logging swallows what is raised in it, and the signal may come at any moment."""

    class Interrupted(logging.StreamHandler):
        def flush(self):
            os.kill(os.getpid(), signal.SIGTERM)

    logger = logging.getLogger("catgan.interrupted")
    logger.addHandler(Interrupted())
    with pytest.raises(TerminatedRun, match="scratch runs"), Children():
        logger.warning("a line")
