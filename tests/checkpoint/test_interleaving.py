"""The real code of two and three starts on a real folder, in orders that a seed picks.

`test_rule_model` tries the protocol; this tries what was made of it: one storage call at
a time, and between any two of them another start may run, or this one may be killed.
"""

import random
import threading

import numpy as np
import pytest

from tests.checkpoint.conftest import NEW
from trainer import checkpoint, storage
from trainer.checkpoint import rule
from trainer.errors import CheckpointError
from trainer.run_folder import RunFolder

CALLS = ("write", "read", "read_versioned", "list", "delete", "stat", "exists")
LAST_STEP = 50


class Killed(BaseException):
    """What a killed start sees of its death: nothing of it can be caught."""


class Turns:
    """Lets one start at a time make one storage call."""

    def __init__(self, starts: int, sticks: float):
        self.sticks = sticks
        self.last = -1
        self.changed = threading.Condition()
        self.turn: int | None = None
        self.waiting: set[int] = set()
        self.over: set[int] = set()
        self.killed: set[int] = set()
        self.starts = starts

    def wait_for(self, index: int) -> None:
        with self.changed:
            self.waiting.add(index)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.turn == index, 60)
            self.turn = None
            self.waiting.discard(index)
            if index in self.killed:
                raise Killed

    def end(self, index: int) -> None:
        with self.changed:
            self.over.add(index)
            self.changed.notify_all()

    def give(self, draw: random.Random) -> bool:
        """Lets somebody run up to the next call; returns whether anybody was left."""
        with self.changed:
            everybody = set(range(self.starts))
            assert self.changed.wait_for(
                lambda: self.turn is None and self.waiting | self.over == everybody, 60
            )
            if not self.waiting:
                return False
            chosen = draw.choice(sorted(self.waiting))
            if self.last in self.waiting and draw.random() < self.sticks:
                chosen = self.last
            self.last = chosen
            if draw.random() < 0.01:
                self.killed.add(chosen)
            self.turn = chosen
            self.changed.notify_all()
            return True


def _gated(folder, turns: Turns, index: int):
    for name in CALLS:
        call = getattr(folder, name)

        def gated(*args, call=call, name=name, **told):
            turns.wait_for(index)
            found = call(*args, **told)
            return iter(list(found)) if name == "list" else found

        setattr(folder, name, gated)
    return folder


def _train(address: str, turns: Turns, index: int, problems: list) -> None:
    try:
        run = RunFolder(_gated(storage.open_folder(address), turns, index))
        begun = checkpoint.begin(run, NEW, host=f"host-{index}")
        _save_all(run, begun)
    except CheckpointError as error:
        if "took over" not in error.what:
            problems.append(error)
    except Killed:
        pass
    except BaseException as error:
        problems.append(error)
    finally:
        turns.end(index)


def _save_all(run: RunFolder, begun: checkpoint.Begun) -> None:
    """What `CheckpointStore` does in its thread, here in ours, so that one thread is one start."""
    from trainer.checkpoint.publish import Publisher, Snapshot
    from trainer.checkpoint.retention import Policy, Retention

    publisher = Publisher(run, begun.start, part_bytes=10**6, upload_threads=1)
    retention = Retention(run, begun.start, Policy(keep_last=1))
    history = list(begun.checkpoint.load()["history"]) if begun.checkpoint else []
    assert len(history) * 10 == begun.first_step
    for step in range(begun.first_step + 10, LAST_STEP + 1, 10):
        history.append(begun.start)
        publisher.publish(Snapshot(step, step, {"history": np.array(history)}, {}))
        retention.prune(step)


def _check_history(found: checkpoint.Checkpoint, starts) -> None:
    """Each ten steps were computed by the start that the record gives them to."""
    expected = [
        max(s.number for s in starts if s.settled and s.first_step < step)
        for step in range(10, found.step + 1, 10)
    ]
    assert list(found.load()["history"]) == expected


def _play(address: str, starts: int, seed: int) -> None:
    draw = random.Random(seed)
    # Long bursts let a start come far before another wakes; none lets them race for a claim.
    turns = Turns(starts, sticks=draw.choice((0.0, 0.8, 0.95, 0.99)))
    problems: list[BaseException] = []
    threads = [
        threading.Thread(target=_train, args=(address, turns, index, problems), daemon=True)
        for index in range(starts)
    ]
    for thread in threads:
        thread.start()
    watched = RunFolder(storage.open_folder(address))
    newest, settled = 0, 0
    while turns.give(draw):
        if draw.random() < 0.05:
            found, now = _newest_between_calls(watched, turns)
            # Only a start that settles may leave a step behind: one published as it settled.
            assert found >= newest or now > settled, f"seed {seed}: step {newest} was lost"
            newest, settled = found, now
    for thread in threads:
        thread.join(60)
    assert not problems, f"seed {seed}: {problems}"
    last = checkpoint.begin(watched, NEW, host="last")
    _save_all(watched, last)
    assert checkpoint.list_all(watched)[-1].step == LAST_STEP


def _newest_between_calls(run: RunFolder, turns: Turns) -> tuple[int, int]:
    """Returns the newest step, and the number of the newest start that has settled."""
    with turns.changed:
        everybody = set(range(turns.starts))
        assert turns.changed.wait_for(
            lambda: turns.turn is None and turns.waiting | turns.over == everybody, 60
        )
        found = checkpoint.find_newest(run)
        record = run.read_record()
    settled = [start for start in (record.starts if record else ()) if start.settled]
    if found is not None:
        _check_history(found, settled)
    step = found.step if found else 0
    if settled:
        assert step >= settled[-1].first_step, "a start lost what it went on from"
    return step, settled[-1].number if settled else 0


@pytest.mark.parametrize("starts", [2, 3])
def test_in_orders_that_a_seed_picks(tmp_path, starts):
    for seed in range(12):
        _play(str(tmp_path / f"run-{seed}"), starts, seed)


@pytest.mark.slow
@pytest.mark.parametrize("starts", [2, 3, 4])
def test_in_many_orders(tmp_path, starts):
    for seed in range(100, 400):
        _play(str(tmp_path / f"run-{seed}"), starts, seed)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_planted_bug_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(rule, "superseded_by", lambda step, start, starts: None)

    def play_all():
        for seed in range(40):
            _play(str(tmp_path / f"run-{seed}"), 3, seed)

    with pytest.raises(AssertionError):
        play_all()
