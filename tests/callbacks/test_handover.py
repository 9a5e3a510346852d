"""Who publishes the last checkpoint of a run whose machines are taken away, with real stores.

The ranks' callbacks run side by side here; the sum of a step's collective is taken by hand.
"""

import types
from collections.abc import Iterator

import pytest

from tests.checkpoint.conftest import NEW, assert_is_state, meta_of, state_of
from trainer import checkpoint, storage
from trainer.agreement import Agreement
from trainer.callbacks.cadence import Cadence, Due
from trainer.callbacks.checkpointing import Checkpointing
from trainer.callbacks.handover import Handover, agreed_heir, heir
from trainer.callbacks.preemption import Preemption
from trainer.callbacks.stop_requests import StopRequests
from trainer.run_folder import MetricsLog, RunFolder, read_metrics

STEPS = 100
EVERY = 5


class Rank:
    """One rank's callbacks in a worker's order, and what stands in for its model."""

    def __init__(self, rank: int, size: int, run: RunFolder, start: int) -> None:
        self.rank = rank
        self.going: set[int] = set()
        self.model = types.SimpleNamespace(
            agreement=Agreement(rank, size),
            step=0,
            stop_training=False,
            is_finite=True,
            state=lambda: state_of(self.model.step),
        )
        self.store = checkpoint.CheckpointStore(run, start, before_publish=self.before_publish)
        self.rows = MetricsLog(run, start, 0)
        self.published: list[int] = []
        self.handover = Handover(STEPS, lambda: self.going, self.store, self.rows, meta_of)
        due = Due(Cadence(EVERY), STEPS, 0.0)
        saving = Checkpointing(
            self.store, due, meta_of, lambda: 0.0, left_to_another=self.handover.due
        )
        requests = StopRequests(
            should_stop=lambda: "taken back" if self.going else "", catch_signals=False
        )
        requests.training_begins()
        stop = Preemption(requests, self.handover.ready)
        self.callbacks = [*([saving] if rank == 0 else []), stop, self.handover]
        for callback in self.callbacks:
            callback.set_model(self.model)

    def before_publish(self, step: int) -> None:
        self.rows.flush()
        self.published.append(step)

    def finish_step(self) -> None:
        self.model.step += 1
        if self.rank == 0:
            self.rows.append({"step": self.model.step})

    def act(self) -> None:
        for callback in self.callbacks:
            callback.after_call(self.model.step, {})

    def end(self) -> None:
        for callback in self.callbacks:
            callback.end(self.model.step)


class Ranks:
    """Several of them, and their collective."""

    def __init__(self, size: int, run: RunFolder) -> None:
        self.run = run
        start = checkpoint.begin(run, NEW, host="here").start
        self.all = [Rank(rank, size, run, start) for rank in range(size)]

    def call(self) -> None:
        summed = sum(rank.model.agreement.said for rank in self.all)
        for rank in self.all:
            if len(self.all) > 1:  # alone it is heard at once
                rank.model.agreement.hear(summed)
            rank.finish_step()
        for rank in self.all:
            rank.act()

    def train(self, until: int) -> None:
        while self.all[0].model.step < until and not self.stopped:
            self.call()

    @property
    def stopped(self) -> bool:
        """All ranks end after the same call, or none does."""
        found = {rank.model.stop_training for rank in self.all}
        assert len(found) == 1
        return found.pop()

    def end(self) -> int:
        """Ends all; returns the step that a new start would go on from."""
        for rank in self.all:
            rank.end()
            rank.store.close()
        newest = checkpoint.find_newest(self.run)
        assert_is_state(newest.load(), newest.step)
        return newest.step


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(storage.open_folder(str(tmp_path / "run")))


@pytest.fixture
def three(run) -> Iterator[Ranks]:
    ranks = Ranks(3, run)
    yield ranks
    for rank in ranks.all:
        rank.store.close()


def durable_steps(run: RunFolder) -> list[int]:
    return [row["step"] for row in read_metrics(run)]


@pytest.mark.parametrize(
    ("going", "expected"), [({0}, 1), ({0, 1}, 2), ({1}, 0), (set(), 0), ({0, 1, 2}, 0), ({2}, 0)]
)
def test_the_lowest_rank_that_stays(going, expected):
    assert heir(going, 3) == expected


def test_whoever_knows_of_more_machines_is_believed():
    ranks = [Agreement(rank, 3) for rank in range(3)]
    ranks[0].say_of_rank("heir", 1.0 + heir({0}, 3))
    ranks[2].say_of_rank("heir", 1.0 + heir({0, 1}, 3))
    for rank in ranks:
        rank.hear(sum(one.said for one in ranks))
        assert agreed_heir(rank) == 2


@pytest.mark.parametrize("asked_at", [7, 9, 10, 13, 14])
@pytest.mark.parametrize("hears", [0, 1, 2])
def test_rank_0_goes_and_another_publishes(three, run, asked_at, hears):
    """Whoever hears of it first, and whether a checkpoint is due then or under way."""
    three.train(asked_at)
    three.all[hears].going = {0}
    three.train(STEPS)
    assert three.stopped
    assert three.all[0].model.step == asked_at + 3
    steps = durable_steps(run)
    assert steps == list(range(1, len(steps) + 1))
    step = three.end()
    assert step == asked_at + 2 == three.all[0].handover.step
    assert three.all[1].published == [step]
    assert step not in three.all[0].published
    assert three.all[2].published == []
    assert set(range(1, step + 1)) <= set(steps), "rows were durable before rank 0 stopped"
    assert run.read_record().starts[-1].number == checkpoint.find_newest(run).manifest.start


@pytest.mark.parametrize("going", [{1}, {1, 2}, {0, 1, 2}])
def test_rank_0_publishes_where_nobody_else_would_do_better(three, going):
    three.train(7)
    for rank in three.all:
        rank.going = going
    three.train(STEPS)
    assert three.all[0].model.step == 9
    assert three.all[0].handover.step is None
    assert three.end() == 9
    assert [rank.published for rank in three.all] == [[5, 9], [], []]


@pytest.mark.parametrize("asked_at", [STEPS - 1, STEPS - 2, STEPS - 3])
def test_a_finished_run_is_not_handed_over(three, asked_at):
    three.train(asked_at)
    three.all[2].going = {0}
    three.train(STEPS)
    assert three.all[0].handover.step is None or three.all[0].model.step < STEPS
    assert three.end() == STEPS


def test_weights_that_are_no_numbers_are_not_published(three):
    three.train(7)
    for rank in three.all:
        rank.going = {0}
        rank.model.is_finite = False
    three.train(STEPS)
    assert three.stopped
    assert three.end() == 5


def test_alone(run):
    ranks = Ranks(1, run)
    ranks.train(7)
    ranks.all[0].going = {0}
    ranks.train(STEPS)
    assert ranks.end() == 8
