"""What is deleted, and what never is."""

from contextlib import suppress

import pytest

from tests.checkpoint.conftest import NEW, assert_is_state, begin, meta_of, save, state_of
from trainer import checkpoint
from trainer.checkpoint import listing, rule
from trainer.checkpoint.listing import manifest_name
from trainer.checkpoint.retention import Policy, Retention, check_space
from trainer.errors import StorageError


def steps_of(run):
    return [item.step for item in checkpoint.list_all(run) if item.counts]


def names_of(run):
    return [entry.name for entry in run.folder.list("checkpoints/")]


def test_the_rule_of_what_stays():
    steps = range(100, 1100, 100)
    assert rule.kept_steps(steps, keep_last=2) == {900, 1000}
    assert rule.kept_steps(steps, keep_last=1, keep_every_steps=400) == {400, 800, 1000}
    assert rule.kept_steps(steps, keep_last=1, best=300) == {300, 1000}
    assert rule.kept_steps(steps, keep_last=0, best=7) == {1000}
    assert rule.kept_steps(steps, keep_last=1, best=300, measured={500, 7}) == {300, 500, 1000}
    assert rule.kept_steps([], keep_last=3) == set()


def test_the_last_the_regular_and_the_best_stay(run):
    begun = begin(run)
    with checkpoint.CheckpointStore(run, begun.start, keep_last=2, keep_every_steps=400) as store:
        for step in range(100, 1100, 100):
            store.save(step, state_of(step), meta_of(step))
            store.wait()
            if step == 300:
                store.best = 300
    assert steps_of(run) == [300, 400, 800, 900, 1000]
    folders = {name.split("/")[1] for name in names_of(run)}
    assert len(folders) == 5, "parts go with their manifest"
    assert not run.folder.path("checkpoints/step-000000100").exists()


def test_a_later_start_prunes_what_an_earlier_one_left(run):
    save(run, begin(run).start, 100, 200, 300, keep_last=9)
    save(run, begin(run).start, 400, keep_last=2)
    assert steps_of(run) == [300, 400]


def test_what_was_overtaken_stays_until_the_new_history_is_as_far(run):
    save(run, begin(run).start, 100, 200, 300, keep_last=9)
    second = begin(run, from_step=100)
    save(run, second.start, 150, keep_last=9)
    assert [(i.step, i.superseded) for i in checkpoint.list_all(run)] == [
        (100, False),
        (150, False),
        (200, True),
        (300, True),
    ]
    save(run, second.start, 250, keep_last=9)
    assert [i.step for i in checkpoint.list_all(run)] == [100, 150, 250, 300]


def test_files_that_are_not_ours_stay(run):
    foreign = (
        "checkpoints/README",
        "checkpoints/step-000000100/notes.txt",
        "checkpoints/step-000000100/weights.safetensors",
        "checkpoints/step-100/start-0001-part-0001-of-0001.safetensors",
        "checkpoints/step-000000050/manifest.json",
    )
    begun = begin(run)
    for name in foreign:
        run.folder.write(name, b"mine")
    save(run, begun.start, 100, 200, keep_last=1)
    assert steps_of(run) == [200]
    assert set(foreign) <= set(names_of(run))


def test_parts_of_an_unreadable_manifest_stay(run):
    save(run, begin(run).start, 100, keep_last=9)
    run.folder.write(manifest_name(100), b'{"format": "catgan-checkpoint", "format_version": 9}')
    before = names_of(run)
    second = run.claim_start(NEW, host="b")
    run.settle_start(second, 150)
    save(run, second, 200, keep_last=1)
    assert set(before) <= set(names_of(run))


def test_what_kills_left_is_cleared(run):
    first = begin(run).start
    save(run, first, 100, 200, keep_last=9)
    # Killed between its parts and its manifest; killed between a manifest and its parts.
    run.folder.write("checkpoints/step-000000300/start-0001-part-0001-of-0001.safetensors", b"x")
    run.folder.delete(manifest_name(100))
    save(run, begin(run).start, 300, seed=1, keep_last=9)
    assert not any("step-000000100" in name for name in names_of(run))
    assert not any("start-0001" in name for name in names_of(run) if "000000300" in name)
    assert_is_state(checkpoint.find_newest(run).load(), 300, seed=1)


def test_a_claim_stops_the_deletions_of_starts_before_it(run):
    first = begin(run).start
    save(run, first, 100, 200, keep_last=9)
    second = run.claim_start(NEW, host="b")
    save(run, first, 300, keep_last=1)
    assert steps_of(run) == [100, 200, 300]
    run.end_start(second, "failed", "gave up")
    save(run, first, 400, keep_last=1)
    assert steps_of(run) == [400]


def test_a_deletion_that_was_decided_before_misses_what_was_adopted(run, monkeypatch):
    first = begin(run).start
    save(run, first, 100, 200, keep_last=9)
    retention = Retention(run, first, Policy(keep_last=1))
    read_record = run.read_record

    def overtaken_after_the_check():
        monkeypatch.undo()
        record = read_record()
        begin(run, from_step=100)
        return record

    monkeypatch.setattr(run, "read_record", overtaken_after_the_check)
    assert retention.prune(200) == []
    assert steps_of(run) == [100]
    assert_is_state(checkpoint.find_newest(run).load(), 100)


def test_failed_deletions_do_not_stop_training(run, monkeypatch, caplog):
    begun = begin(run)

    def refuse(name, **told):
        raise StorageError("may not delete")

    monkeypatch.setattr(run.folder, "delete", refuse)
    save(run, begun.start, 100, 200, keep_last=1)
    assert steps_of(run) == [100, 200]
    assert "may not delete" in caplog.text


def test_what_stays_for_good_makes_no_room(run, monkeypatch):
    save(run, begin(run).start, 100, 200, 300, 400, keep_last=9)
    sizes = {step: sum(files.part_bytes.values()) for step, files in listing.scan(run).items()}
    state_bytes = sizes[100]
    assert set(sizes.values()) == {state_bytes}

    def fits(slots_free, **policy):
        monkeypatch.setattr(run.folder, "free_bytes", lambda: slots_free * state_bytes)
        with suppress(StorageError):
            check_space(run, state_bytes, keep_last=3, **policy)
            return True
        return False

    assert fits(1)
    assert not fits(0)
    # 200 and 400 stay, whatever comes.
    assert fits(3, keep_every_steps=200)
    assert not fits(2, keep_every_steps=200)
    # The later history undoes 400: it goes.
    run.settle_start(run.claim_start(NEW, host="b"), 300)
    assert fits(2, keep_every_steps=200)
    assert not fits(1, keep_every_steps=200)
    # What cannot be read is never deleted.
    run.folder.write(manifest_name(100), b"{")
    assert not fits(2, keep_every_steps=200)


def test_space_for_two_more_than_are_kept_is_asked_for(run, monkeypatch):
    monkeypatch.setattr(run.folder, "free_bytes", lambda: 5 * 2**20)
    check_space(run, 2**20, keep_last=3)
    with pytest.raises(StorageError, match=r"5.0 MiB free.*need 6.0 MiB.*1.0 MiB each"):
        check_space(run, 2**20, keep_last=4)
    run.folder.write(
        "checkpoints/step-000000100/start-0001-part-0001-of-0001.safetensors", bytes(2**20)
    )
    check_space(run, 2**20, keep_last=4)  # what is there will make room
    check_space(run, 2**20, keep_last=4, keep_every_steps=100)  # no checkpoint: it goes
    monkeypatch.setattr(run.folder, "free_bytes", lambda: None)
    check_space(run, 2**60, keep_last=4)


def test_a_rank_that_was_not_told_what_is_best_deletes_nothing(run):
    """One that publishes the last checkpoint for another."""
    start = begin(run).start
    save(run, start, 1, 2, 3, keep_last=1, prunes=False)
    assert sorted(found.step for found in checkpoint.list_all(run)) == [1, 2, 3]
    save(run, start, 4, keep_last=1)
    assert sorted(found.step for found in checkpoint.list_all(run)) == [4]
