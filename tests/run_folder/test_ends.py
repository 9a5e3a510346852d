"""Whose end is the run's: that of the start it is left to, the one that may delete in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.run_folder.begun import begin_start
from trainer import storage
from trainer.checkpoint import rule
from trainer.run_folder import NewRun, RunFolder, RunRecord, StartRecord

NEW = NewRun("cats", "/data/cats", "f00d", "c0ffee")


@pytest.fixture
def run(tmp_path):
    return RunFolder(storage.open_folder(str(tmp_path / "run")))


def test_the_end_of_a_start_counts_after_a_claim_that_gave_up(run):
    first = begin_start(run, 0, NEW, host="a")
    second = run.claim_start(NEW, host="b")
    run.end_start(second, "failed", "no such checkpoint")
    run.end_start(first, "finished", "done", step=9, images_seen=576)
    record = run.read_record()
    assert (record.status, record.step, record.images_seen) == ("finished", 9, 576)


@pytest.mark.parametrize("settles", [False, True])
def test_the_end_of_a_start_leaves_the_run_to_a_later_one(run, settles):
    first = begin_start(run, 0, NEW, host="a")
    second = run.claim_start(NEW, host="b")
    if settles:
        run.settle_start(second, 4, 256)
        run.end_start(second, "stopped", "SIGTERM", step=8, images_seen=512)
    before = run.read_record()
    run.end_start(first, "finished", "done", step=9, images_seen=576)
    after = run.read_record()
    assert (after.status, after.step) == (before.status, before.step)
    assert after.start(first).cause == "done"


@given(
    st.lists(
        st.tuples(st.none() | st.integers(0, 9), st.none() | st.just("2026-01-01T00:00:00+00:00"))
    )
)
def test_a_run_is_left_to_whoever_may_delete_in_it(told):
    starts = tuple(
        StartRecord(number=number, token=str(number), first_step=first_step, ended=ended)
        for number, (first_step, ended) in enumerate(told, 1)
    )
    dataset = {"address": "/data/cats", "fingerprint": "f00d"}
    record = RunRecord(name="cats", dataset=dataset, config_hash="c0ffee", starts=starts)
    for number in range(len(starts) + 1):
        assert record.is_left_to(number) == rule.may_delete(number, starts)
