"""When a checkpoint is reported to Ray: by all ranks after the same call, and each one soon.

The ranks run side by side here; the sum of a step's collective is taken by hand.
"""

import types

import pytest

from trainer.agreement import Agreement
from trainer.launch import pointer, pointer_reports
from trainer.launch.pointer_reports import PointerReports


class Ranks:
    """Two ranks, and what each reported: by call, or after training."""

    def __init__(self) -> None:
        self.call = 0
        self.told: list[list[tuple]] = [[], []]
        self.meanwhile: list[int] = []
        self._agreements = [Agreement(rank, 2) for rank in range(2)]
        self.ranks = [PointerReports(None, writes=rank == 0) for rank in range(2)]
        for rank, agreement in zip(self.ranks, self._agreements, strict=True):
            rank.set_model(types.SimpleNamespace(agreement=agreement))

    def report(self, folder, step, metrics, *, writer) -> None:
        self.told[0 if writer else 1].append((self.call, step))
        if writer and self.meanwhile:
            # Behind the training, while Ray holds this rank up for the other one.
            self.ranks[0].published(self.meanwhile.pop(0))

    def train(self, calls: int) -> None:
        for _ in range(calls):
            self.call += 1
            summed = sum(agreement.said for agreement in self._agreements)
            for agreement in self._agreements:
                agreement.hear(summed)
            for rank in self.ranks:
                rank.after_call(self.call, {})


@pytest.fixture
def ranks(monkeypatch) -> Ranks:
    made = Ranks()
    monkeypatch.setattr(pointer_reports.pointer, "report", made.report)
    monkeypatch.setattr(pointer, "prepare_pointer", lambda folder, step: True)
    return made


def test_each_is_reported_once_and_by_all_after_the_same_call(ranks):
    ranks.train(1)
    ranks.ranks[0].published(10)
    ranks.train(5)
    ranks.ranks[0].published(20)
    ranks.train(5)
    assert ranks.told[0] == [(3, 10), (8, 20)]
    assert ranks.told[1] == [(3, None), (8, None)]


def test_one_that_is_published_during_a_report_is_reported_next(ranks):
    ranks.meanwhile = [20]
    ranks.ranks[0].published(10)
    ranks.train(5)
    ranks.ranks[0].published(30)
    ranks.train(5)
    assert [step for _, step in ranks.told[0]] == [10, 20, 30]
    assert [call for call, _ in ranks.told[0]] == [call for call, _ in ranks.told[1]]


def test_the_last_one_is_reported_after_training(ranks):
    ranks.train(2)
    ranks.ranks[0].published(10)
    for rank in ranks.ranks:
        rank.report_last()
    assert ranks.told == [[(2, 10)], [(2, None)]]
