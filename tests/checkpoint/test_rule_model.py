"""The rule against interleavings of writers: every one of two, very many of three."""

import random
from dataclasses import replace

import pytest

from tests.checkpoint.protocol_model import Protocol, Violation, World, Writer, check, moves, solo


def explore(p: Protocol, writers: int, *, most: int = 10**7) -> set[World]:
    """Visits every world that can be reached; raises Violation."""
    first = World((Writer(),) * writers)
    seen, todo = {first}, [first]
    while todo:
        world = todo.pop()
        for index in range(writers):
            for after in moves(world, index, p):
                if after not in seen:
                    check(world, after, index, p)
                    seen.add(after)
                    todo.append(after)
        assert len(seen) < most
    return seen


def wander(p: Protocol, writers: int, walks: int, seed: int) -> None:
    """Walks at random, each writer in bursts, as real ones run; raises Violation."""
    draw = random.Random(seed)
    for _ in range(walks):
        world = World((Writer(),) * writers)
        while True:
            index = draw.randrange(writers)
            for _ in range(draw.choice((1, 1, 2, 4, 8, 16))):
                options = list(moves(world, index, p))
                if not options:
                    break
                after = draw.choice(options)
                check(world, after, index, p)
                world = after
            if draw.random() < 0.02 or all(writer.at == "end" for writer in world.writers):
                break
        check_progress(world, p)


def check_progress(world: World, p: Protocol) -> None:
    end = solo(world, p)
    counted = end.counted()
    assert counted, "a writer alone publishes"
    assert counted[-1].step == p.last_step
    wanted = {(m.step, m.start) for m in end.manifests}
    assert {part for part in end.parts if part not in wanted} <= world.parts


@pytest.mark.parametrize("keep_last", [1, 2])
def test_two_writers_in_every_order(keep_last):
    p = Protocol(last_step=3, keep_last=keep_last)
    seen = explore(p, 2)
    assert len(seen) > 5_000
    for world in random.Random(1).sample(sorted(seen, key=repr), 500):
        check_progress(world, p)


def test_three_writers_at_random():
    wander(Protocol(last_step=4, keep_last=1), 3, walks=1_500, seed=2)
    wander(Protocol(last_step=5, keep_last=2), 4, walks=500, seed=3)


@pytest.mark.slow
def test_two_writers_in_every_order_for_longer():
    explore(Protocol(last_step=4), 2)


@pytest.mark.slow
def test_three_writers_at_random_for_longer():
    for seed in range(6):
        wander(Protocol(last_step=5, keep_last=1 + seed % 2), 3 + seed % 3, 4_000, seed)


def _began_at_or_before(step, start, starts):
    return next(
        (
            s
            for s in starts
            if s.number > start and s.first_step is not None and s.first_step <= step
        ),
        None,
    )


PLANTED = {
    "the rule believes every manifest": {"superseded_by": lambda *_: None},
    "a start undoes the step that it went on from": {"superseded_by": _began_at_or_before},
    "who was fenced out goes on publishing": {"fenced_by": lambda *_: None},
    "the manifest goes up without a precondition": {"publish_precondition": False},
    "who was fenced out still deletes": {"may_delete": lambda *_: True},
    "an open claim does not stop deletions": {
        "may_delete": lambda number, starts: (
            not any(s.number > number and s.first_step is not None for s in starts)
        )
    },
    "claims are looked at before the folder": {"scan_before_check": False},
    "what a start goes on from is not adopted": {"adopt": False},
    "manifests are deleted whatever their generation": {"delete_precondition": False},
    "a late start settles all the same": {"settle_checks_claims": False},
    "parts are deleted before their manifest": {"manifest_first": False},
    "parts that a manifest names are orphans": {
        "is_orphan": lambda start, own_start, referenced: start <= own_start
    },
}


@pytest.mark.parametrize("bug", PLANTED)
def test_the_search_finds_a_planted_bug(bug):
    p = replace(Protocol(last_step=3), **PLANTED[bug])
    with pytest.raises(Violation):
        wander(p, 3, walks=10_000, seed=1)


def test_a_checkpoint_chosen_before_the_claim_may_be_gone():
    """Why `begin` claims first; adoption alone would notice, but only to start again."""
    p = Protocol(last_step=3, from_any=False, find_after_claim=False, adopt=False)
    with pytest.raises(Violation):
        wander(p, 3, walks=20_000, seed=5)
