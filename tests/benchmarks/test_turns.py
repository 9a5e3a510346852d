"""Commands that take turns: one at a time, each as long as the others, nothing left behind."""

import itertools
import sys

import psutil
import pytest

from benchmarks.turns import take_turns

# Notes the time again and again; told to end, it says so.
COUNTER = """
import sys, time
with open(sys.argv[1], "w") as file:
    try:
        while True:
            file.write(f"{time.monotonic_ns()}\\n")
            time.sleep(0.002)
    except KeyboardInterrupt:
        pass
print("ended")
"""


def counter(path):
    return [sys.executable, "-c", COUNTER, str(path)]


def times(path):
    return [int(line) for line in path.read_text().split()]


def test_one_runs_while_the_others_stand_still(tmp_path):
    names = "abc"
    codes = take_turns({n: counter(tmp_path / n) for n in names}, 1.6, tmp_path, turn_secs=0.4)
    assert codes == dict.fromkeys(names, 0)
    noted = sorted((moment, name) for name in names for moment in times(tmp_path / name))
    turns = [name for name, _ in itertools.groupby(name for _, name in noted)]
    assert len(turns) <= 4 * len(names)
    assert {"a", "b", "c"} == set(turns)
    for name in names:
        assert (tmp_path / f"{name}.log").read_text() == "ended\n"


def test_one_that_fails_is_told_and_holds_up_nobody(tmp_path):
    failing = [sys.executable, "-c", "print('broken'); raise SystemExit(3)"]
    commands = {"bad": failing, "good": counter(tmp_path / "good")}
    assert take_turns(commands, 1.0, tmp_path, turn_secs=0.5) == {"bad": 3, "good": 0}
    assert (tmp_path / "bad.log").read_text() == "broken\n"


def test_nothing_is_left_when_it_is_broken_off(tmp_path):
    commands = {"good": counter(tmp_path / "good"), "none": [str(tmp_path / "no such program")]}
    with pytest.raises(FileNotFoundError):
        take_turns(commands, 60, tmp_path, turn_secs=0.3)
    mine = str(tmp_path / "good")
    assert not [p for p in psutil.process_iter(["cmdline"]) if mine in (p.info["cmdline"] or [])]
