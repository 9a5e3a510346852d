"""The lease in the record: who may claim a start, and when a holder is dead."""

import datetime
import json
import threading

import pytest

from trainer import storage
from trainer.errors import CheckpointError, ClusterError
from trainer.run_folder import Holder, NewRun, RunFolder, holder
from trainer.run_folder.record import read_record

NEW = NewRun("cats", "/data/cats", "f00d", "c0ffee")
NOW = datetime.datetime(2031, 5, 1, 12, 0, tzinfo=datetime.UTC)


def lease(token="one", *, silent_secs=0.0, **changes):
    told = {"host": f"host-{token}", "pid": 12, "process": "boot/pid:[1]/77"}
    moment = NOW - datetime.timedelta(seconds=silent_secs)
    return Holder(token=token, since=NOW, renewed=moment, **{**told, **changes})


@pytest.fixture(params=["disk", "bucket"])
def run(request, tmp_path):
    where = str(tmp_path / "run")
    if request.param == "bucket":
        where = f"{request.getfixturevalue('bucket').address}/run"
    return RunFolder(storage.open_folder(where))


def take(run, mine, over=None):
    run.update_record(lambda record: holder.taken(record, mine, over))


def test_the_claim_of_a_new_run_takes_it(run):
    before = datetime.datetime.now(datetime.UTC)
    assert run.claim_start(NEW, host="a", holder=lease("one")) == 1
    held = run.read_record().holder
    assert (held.token, held.host, held.pid) == ("one", "host-one", 12)
    assert held.renewed >= before.replace(microsecond=0)  # not as old as the lease it was given


def test_a_driver_claims_all_its_starts(run):
    for number in (1, 2, 3):
        assert run.claim_start(NEW, host="a", holder=lease("one")) == number
    assert run.read_record().holder.token == "one"


def test_the_claim_of_another_is_refused_and_writes_nothing(run):
    run.claim_start(NEW, host="a", holder=lease("one"))
    before = run.folder.read("run.json")
    with pytest.raises(ClusterError) as caught:
        run.claim_start(NEW, host="b", holder=lease("two"))
    assert run.folder.read("run.json") == before
    assert caught.value.exit_code == 6
    told = str(caught.value)
    assert f"{run.address} is being trained by start 1 on host-one (pid 12), since 2031-" in told
    assert "last sign of life" in told
    assert "kill 12" in told
    assert "run=" in told


def test_the_claim_of_one_that_was_taken_over_from_is_refused(run):
    run.claim_start(NEW, host="a", holder=lease("one"))
    dead = run.read_record().holder
    take(run, lease("two"), over=dead)
    with pytest.raises(ClusterError, match="host-two"):
        run.claim_start(NEW, host="a", holder=dead)
    run.claim_start(NEW, host="b", holder=lease("two"))
    run.update_record(lambda record: holder.released(record, "two"))
    with pytest.raises(ClusterError, match="in the meantime: start 2 on b"):
        run.claim_start(NEW, host="a", holder=dead)


def test_a_claim_without_a_lease_does_not_look(run):
    run.claim_start(NEW, host="a", holder=lease("one"))
    assert run.claim_start(NEW, host="b") == 2
    assert run.read_record().holder.token == "one"


def test_of_many_that_begin_a_run_at_once_one_does(run):
    gate, numbers, refused = threading.Barrier(6), [], []

    def begin(token):
        gate.wait()
        try:
            numbers.append(run.claim_start(NEW, host="same", holder=lease(token)))
        except ClusterError as error:
            refused.append(error)

    threads = [threading.Thread(target=begin, args=[f"token-{i}"]) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == [1]
    assert len(refused) == 5
    assert len(run.read_record().starts) == 1


def test_taking_needs_the_very_lease_that_was_seen_dead(run):
    run.claim_start(NEW, host="a", holder=lease("one"))
    dead = run.read_record().holder
    alive = lease("one", silent_secs=-1)
    run.update_record(lambda record: holder.renewed(record, alive))
    for over in (None, dead):
        with pytest.raises(holder.Changed):
            take(run, lease("two"), over=over)
    take(run, lease("two"), over=alive)
    assert run.read_record().holder.token == "two"


def test_only_the_holder_renews_and_releases(run):
    run.claim_start(NEW, host="a", holder=lease("one"))
    before = run.read_record()
    run.update_record(lambda record: holder.renewed(record, lease("two")))
    run.update_record(lambda record: holder.released(record, "two"))
    assert run.read_record() == before
    run.update_record(lambda record: holder.released(record, "one"))
    assert run.read_record().holder is None
    run.update_record(lambda record: holder.renewed(record, lease("one")))
    assert run.read_record().holder is None


def test_who_took_a_run_is_told(run):
    run.claim_start(NEW, host="a", holder=lease("one"))
    assert holder.lost_to(run.read_record(), "one") == ""
    took = holder.lost_to(run.read_record(), "two")
    assert took == "pid 12 on host-one took the run over at 2031-05-01T12:00:00+00:00"
    run.update_record(lambda record: holder.released(record, "one"))
    ended = holder.lost_to(run.read_record(), "two")
    assert ended == "start 1 on a took the run over and has ended since"


def test_a_record_of_a_program_that_held_no_runs_is_read(run):
    run.claim_start(NEW, host="a")
    raw = json.loads(run.folder.read("run.json"))
    del raw["holder"]
    record = read_record(json.dumps(raw).encode(), "run.json")
    assert record.holder is None
    assert len(record.starts) == 1


@pytest.mark.parametrize(
    "wrong", [{"pid": 0}, {"lease_secs": 1e9}, {"renewed": "yesterday"}, {"token": ""}]
)
def test_a_lease_that_is_none_is_refused_in_words(run, wrong):
    run.claim_start(NEW, host="a", holder=lease("one"))
    raw = json.loads(run.folder.read("run.json"))
    raw["holder"] |= wrong
    with pytest.raises(CheckpointError, match=f"holder.{next(iter(wrong))}"):
        read_record(json.dumps(raw).encode(), "run.json")


@pytest.mark.parametrize(
    ("silent", "watched", "same_clock", "left"),
    [
        (4, 0, True, 56),  # one machine: the time stamp decides
        (61, 0, True, -1),
        (-5, 20, True, 40),  # the clock was set back: what we saw decides
        (4, 0, False, 56),  # another machine: a fresh stamp is given the rest of its lease
        (70, 0, False, 15),  # an old one is looked at for longer than a living one is silent
        (70, 16, False, -1),
        (50, 12, False, 10),
        (601, 0, False, 0),  # no clock is that wrong
        (-7200, 0, False, 60),  # from the future: no stamp can be waited for longer than a lease
        (-7200, 61, False, -1),
    ],
)
def test_how_long_a_holder_has_left(silent, watched, same_clock, left):
    found = holder.left_secs(
        lease(silent_secs=silent), NOW, watched_secs=watched, same_clock=same_clock
    )
    assert found == pytest.approx(left)


@pytest.mark.parametrize("silent", [61, 601, 1e6])
def test_a_process_that_runs_is_looked_at_before_it_is_dead(silent):
    held = lease(silent_secs=silent)
    told = {"same_clock": True, "running": True}
    assert holder.left_secs(held, NOW, watched_secs=0, **told) == 15
    assert holder.left_secs(held, NOW, watched_secs=16, **told) == -1


def test_a_living_holder_on_any_clock_gives_a_sign_before_it_is_dead():
    held = lease()
    for skew in range(-900, 600):
        moment = NOW + datetime.timedelta(seconds=skew)
        assert holder.left_secs(held, moment, watched_secs=held.renew_secs, same_clock=False) > 0
