"""`catgan debug`: its own folder, its tables, the first bad tensor, the debugger."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from tests.conftest import REPOSITORY
from tests.launch.conftest import open_run, steps_of
from tests.run_folder.begun import begin_start
from trainer.run_folder import NewRun

SECS = 240


def debug(small, run, *words):
    return small.server.catgan("debug", str(small.config), f"run={run}", *words)


@pytest.fixture(scope="module")
def debugged(small, tmp_path_factory):
    """A debug run of three steps, and its answer as JSON."""
    run = tmp_path_factory.mktemp("debug") / "run"
    process = debug(small, run, "training.steps=3", "--json").succeed()
    return run, json.loads(process.output()), process.told()


def test_it_has_a_folder_of_its_own(debugged):
    run, answer, told = debugged
    assert not run.exists()
    assert answer["run"] == f"{run}-debug"
    assert "a run folder of their own, replaced each time" in told
    assert (run.parent / "run-debug" / "samples" / "latest.png").is_file()


def test_parts_are_named_in_the_order_of_the_step(debugged):
    parts = debugged[1]["parts"]
    names = [part["part"] for part in parts]
    wanted = [
        "real pictures",
        "latents",
        "G forward",
        "D on real pictures",
        "R1 penalty: gradient at the pictures",
        "D on generated pictures",
        "R2 penalty: gradient at the pictures",
        "D loss",
        "D backward",
        "D update",
        "D again on real pictures",
        "D again on generated pictures",
        "D again: gradient at the pictures",
        "G backward",
        "G update",
        "averaged generator",
        "figures",
    ]
    assert names == wanted
    by_name = {part["part"]: part for part in parts}
    assert by_name["G forward"]["output"] == "float32 [8, 32, 32, 3]"
    assert by_name["latents"]["output"] == "float32 [8, 8]"
    assert by_name["G forward"]["steps"] == 3
    assert by_name["R1 penalty: gradient at the pictures"]["steps"] == 3
    assert all(part["ms"] >= 0 for part in parts)


def test_layers_figures_and_placement(debugged):
    answer = debugged[1]
    assert answer["steps"] == 3
    assert [row["step"] for row in answer["figures"]] == [1, 2, 3]
    assert {"d_loss", "g_loss", "secs", "peak_mib"} <= answer["figures"][0].keys()
    networks = {row["network"] for row in answer["layers"]}
    assert networks == {"G", "D"}
    assert sum(row["parameters"] for row in answer["layers"]) > 0
    assert "CPU" in answer["device"]
    assert set(answer["variables"]) == set(answer["outputs"]) == {"CPU:0"}


def test_the_same_steps_as_a_traced_run(debugged, small, unbroken):
    """Watching changes nothing: eager sums may differ in the last digits only."""
    from trainer.run_folder import read_metrics

    rows = read_metrics(open_run(unbroken))[:3]
    for seen, row in zip(debugged[1]["figures"], rows, strict=True):
        assert seen["d_loss"] == pytest.approx(row["d_loss"], rel=1e-4)
        assert seen["g_loss"] == pytest.approx(row["g_loss"], rel=1e-4)


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_weight_that_is_no_number_is_named(small, tmp_path, network):
    process = small.call("debug", network, small.config, f"run={tmp_path / 'run'}")
    assert process.wait() == 7
    told = process.told()
    layer = {"generator": "generator_up8", "discriminator": "discriminator_down8"}[network]
    assert "in step 1 the first tensor that is not finite is the weight" in told
    assert layer in told
    assert "1 NaN and 0 Inf of" in told


def test_what_grows_too_large_is_named_with_what_it_was_made_from(small, tmp_path):
    rates = ["generator_optimizer.rate=9", "discriminator_optimizer.rate=9"]
    words = ["model.base_channels=32", "model.max_channels=256", "training.steps=60"]
    process = debug(small, tmp_path / "run", *rates, *words)
    assert process.wait() == 7, process.told()
    told = process.told()
    # Which tensor overflows first hangs on the last digits; most often Adam's mean of squares.
    assert re.search(r"in step \d+ the first tensor that is not finite is ", told)
    assert re.search(r"[\d,]+ NaN and [\d,]+ Inf of [\d,]+; .*; it was made from ", told)
    assert "Layers" in process.output(), "what was seen until then is still shown"


def test_the_debug_run_before_it_is_replaced(small, debugged, tmp_path):
    before = shutil.copytree(f"{debugged[0]}-debug", tmp_path / "run-debug")
    again = debug(small, tmp_path / "run", "training.steps=1").succeed()
    assert f"looked at 1 steps; they left {before}" in again.told()
    assert again.output().splitlines()[-1] == str(before)
    assert "A step, eagerly" in again.output()
    assert "on the CPU" in again.output()
    assert len(open_run(before).read_record().starts) == 1
    assert steps_of(before) == [1]


def test_nothing_else_is_replaced(small, tmp_path):
    real = open_run(tmp_path / "real-debug")
    begin_start(real, 0, NewRun("real-debug", "a", "b", "c"), host="here")
    process = debug(small, tmp_path / "real", "training.steps=1")
    assert process.wait() == 2
    assert "holds something that no debug run left there" in process.told()
    assert real.read_record().name == "real-debug"


@pytest.mark.parametrize("steps", ["0", "many", "-1"])
def test_steps_that_are_none(small, tmp_path, steps):
    process = debug(small, tmp_path / "run", f"training.steps={steps}")
    assert process.wait() == 2
    assert f"training.steps={steps} cannot be used" in process.told()


class Terminal:
    """A process on a terminal of its own, to type at."""

    def __init__(self, command, env, cwd):
        self._end, other = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=env, cwd=cwd, close_fds=True
        )
        os.close(other)
        self.seen = ""

    def read_until(self, text):
        until = time.monotonic() + SECS
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if select.select([self._end], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._end, 65536).decode(errors="replace")
                except OSError:  # the other end was closed: the process is gone
                    assert text in self.seen, self.seen
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line):
        os.write(self._end, line.encode() + b"\n")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._end)


def test_breakpoint_inside_train_step(small, tmp_path):
    """As a person does it: a line in a copy of the source, and a terminal."""
    source = tmp_path / "source"
    shutil.copytree(REPOSITORY / "trainer", source / "trainer")
    code = source / "trainer" / "gan" / "gan.py"
    line = "        images, step, *said = data\n"
    text = code.read_text()
    assert text.count(line) == 1
    code.write_text(text.replace(line, line + "        breakpoint()\n"))
    env = {**os.environ, "PYTHONPATH": str(source), "TERM": "xterm"}
    command = [sys.executable, "-m", "trainer", "debug", str(small.config)]
    terminal = Terminal([*command, f"run={tmp_path / 'run'}", "training.steps=2"], env, tmp_path)
    try:
        terminal.read_until("(Pdb) ")
        terminal.type("p images.shape, int(step), type(images).__name__")
        assert "(TensorShape([8, 32, 32, 3]), 0, 'EagerTensor')" in terminal.read_until("(Pdb) ")
        terminal.type("c")
        terminal.read_until("step 1: D")
        terminal.read_until("(Pdb) ")
        terminal.type("p int(step)")
        assert "1" in terminal.read_until("(Pdb) ")
        terminal.type("q")
        terminal.read_until("left from the debugger")
        assert terminal.process.wait(SECS) == 130
    finally:
        terminal.close()
