"""Naming the workers that keep the others waiting."""

import logging

import pytest

from trainer.agreement import RANK_NAMES, Agreement
from trainer.callbacks import stragglers
from trainer.callbacks.stragglers import Stragglers, slow_ranks


def test_a_rank_that_is_always_slow_is_named():
    assert slow_ranks([[0.1, 0.3, 0.1]] * 30) == [1]


def test_a_rank_that_was_slow_for_a_while_is_not():
    assert slow_ranks([[0.1, 0.3, 0.1]] * 10 + [[0.1, 0.1, 0.1]] * 20) == []


def test_single_slow_calls_are_nothing():
    rows = [[0.1, 0.9 if call % 4 == 0 else 0.1] for call in range(30)]
    assert slow_ranks(rows) == []


def test_too_few_calls_say_nothing():
    assert slow_ranks([[0.1, 0.9]] * 2) == []


class _Model:
    def __init__(self) -> None:
        self.agreement = Agreement(0, 2)


def test_it_is_told_once_with_host_and_times(monkeypatch, caplog):
    monkeypatch.setattr(stragglers, "_LOOK_SECS", 0.0)
    callback = Stragglers(lambda: {1: "node-b"})
    callback.set_model(_Model())
    vector = callback.model.agreement.said
    slots = len(vector) - 2 * (len(RANK_NAMES) - RANK_NAMES.index("busy_secs"))
    vector[slots : slots + 2] = 0.1, 0.4
    with caplog.at_level(logging.WARNING, "catgan"):
        for step in range(40):
            callback.model.agreement.hear(vector)
            callback.after_call(step, {})
    (line,) = caplog.messages
    assert "rank 1 on node-b" in line
    assert "400 ms" in line
    assert "100 ms" in line


@pytest.mark.parametrize(
    ("rows", "slow"),
    [
        ([], []),
        ([[1.0]] * 5, []),
        ([[1.0, 1.0, 2.0]] * 2, []),
        ([[1.0, 1.0, 2.0]] * 3, [2]),
        ([[1.0, 2.0]] * 3, [1]),
        ([[1.0, 2.0]] * 3 + [[1.0, 1.0]], []),
        ([[1.0, 1.0, 1.0]] + [[1.0, 1.0, 9.0]] * 3, [2]),
        ([[1.0, 1.4, 1.0]] * 3, []),
        ([[1.0] * 6 + [3.0, 4.0]] * 3, [6, 7]),
        ([[0.0, 0.0]] * 3, []),
        ([[0.001, 0.005]] * 3, []),
    ],
)
def test_stragglers(rows, slow):
    assert stragglers.stragglers(rows) == slow


def test_stragglers_by_other_measures():
    rows = [[1.0, 1.4]]
    assert stragglers.stragglers(rows, factor=1.3, rows=1) == [1]
    assert stragglers.stragglers(rows, factor=1.3, rows=1, least_secs=0.5) == []
