"""Writers that lost their run, lost answers, and what surfaces when saving fails."""

import pytest

from tests.checkpoint.conftest import assert_is_state, begin, meta_of, save, state_of
from trainer import checkpoint, storage
from trainer.checkpoint.listing import manifest_name
from trainer.errors import CheckpointError, StorageError
from trainer.run_folder import RunFolder


def test_a_fenced_writer_is_told_who_took_over(run):
    first = begin(run, host="old").start
    save(run, first, 100)
    begin(run, host="new")
    store = checkpoint.CheckpointStore(run, first)
    store.save(200, state_of(200), meta_of(200))
    with pytest.raises(CheckpointError, match="start 1 on old lost this run: start 2 on new"):
        store.wait()
    store.wait()  # said once
    assert len(store.errors) == 1
    store.close()
    assert not run.folder.exists(manifest_name(200))


def test_a_fenced_writer_is_told_also_where_its_step_counts_already(run):
    """The step is there by the work of the start that took over, so nothing need be written."""
    first = begin(run, host="old").start
    save(run, first, 100)
    save(run, begin(run, host="new").start, 200, seed=1)
    store = checkpoint.CheckpointStore(run, first)
    store.save(200, state_of(200), meta_of(200))
    with pytest.raises(CheckpointError, match="start 1 on old lost this run: start 2 on new"):
        store.close()
    assert store.last_published is None
    assert_is_state(checkpoint.find_newest(run).load(), 200, seed=1)


def test_a_writer_whose_checkpoint_was_adopted_before_it_knew_is_told(run, monkeypatch):
    first = begin(run, host="old").start
    write = run.folder.write

    def lose_answer_until_adopted(name, data, **told):
        done = write(name, data, **told)
        if name == manifest_name(100):
            monkeypatch.undo()
            assert begin(run, host="new").first_step == 100
            raise storage.Conflict("412 on the second try")
        return done

    monkeypatch.setattr(run.folder, "write", lose_answer_until_adopted)
    store = checkpoint.CheckpointStore(run, first)
    store.save(100, state_of(100), meta_of(100))
    with pytest.raises(CheckpointError, match="start 1 on old lost this run: start 2 on new"):
        store.close()
    assert_is_state(checkpoint.find_newest(run).load(), 100)


def test_a_take_over_between_two_reads_is_noticed(run, monkeypatch):
    """Whatever a writer reads first, the other start comes in after it."""
    first = begin(run, host="old").start
    save(run, first, 100)
    read = run.folder.read_versioned

    def let_the_other_in(name):
        monkeypatch.undo()
        try:
            return read(name)
        finally:
            other = RunFolder(storage.open_folder(run.address))
            save(other, begin(other, host="new").start, 200, seed=1)

    monkeypatch.setattr(run.folder, "read_versioned", let_the_other_in)
    with pytest.raises(CheckpointError, match="start 2 on new"):
        save(run, first, 200)


def test_a_writer_that_wakes_after_the_take_over_is_not_believed(run, monkeypatch):
    first = begin(run, host="old").start
    save(run, first, 100)
    write = run.folder.write

    def sleep_over_it(name, data, **told):
        if name == manifest_name(200):
            monkeypatch.undo()
            second = begin(run, host="new")
            save(run, second.start, 300, seed=1)
        return write(name, data, **told)

    monkeypatch.setattr(run.folder, "write", sleep_over_it)
    save(run, first, 200)
    assert run.folder.exists(manifest_name(200)), "it came through"
    newest = checkpoint.find_newest(run)
    assert_is_state(newest.load(), 300, seed=1)
    with pytest.raises(CheckpointError, match="start 2 went on from step 100"):
        checkpoint.open_step(run, 200)


def test_two_writers_of_one_step(run, monkeypatch):
    """The old one's manifest lands first; the new one replaces it by its generation."""
    first = begin(run, host="old").start
    save(run, first, 100)
    second = begin(run, host="new").start
    write = run.folder.write

    def come_first(name, data, **told):
        if name == manifest_name(200):
            monkeypatch.undo()
            run.folder.write(name, _manifest_of_old(run), if_generation=storage.ABSENT)
        return write(name, data, **told)

    monkeypatch.setattr(run.folder, "write", come_first)
    save(run, second, 200, seed=1)
    assert_is_state(checkpoint.find_newest(run).load(), 200, seed=1)


def _manifest_of_old(run):
    manifest, _ = checkpoint.listing.fetch_manifest(run, 100)
    return manifest.model_copy(update={"step": 200}).to_json()


def test_a_manifest_whose_answer_was_lost_is_published(run, monkeypatch):
    begun = begin(run)
    write = run.folder.write

    def lose_answer(name, data, **told):
        done = write(name, data, **told)
        if name == manifest_name(100):
            monkeypatch.undo()
            raise storage.Conflict("412 on the second try")
        return done

    monkeypatch.setattr(run.folder, "write", lose_answer)
    with checkpoint.CheckpointStore(run, begun.start) as store:
        store.save(100, state_of(100), meta_of(100))
    assert store.last_published == 100
    assert_is_state(checkpoint.find_newest(run).load(), 100)


def test_an_adoption_whose_answer_was_lost_is_one(run, monkeypatch):
    save(run, begin(run).start, 100)
    write = run.folder.write

    def lose_answer(name, data, **told):
        done = write(name, data, **told)
        if name == manifest_name(100):
            monkeypatch.undo()
            raise storage.Conflict("412 on the second try")
        return done

    monkeypatch.setattr(run.folder, "write", lose_answer)
    second = begin(run)
    assert second.first_step == 100
    assert second.checkpoint.manifest.adopted_by == (2,)
    assert_is_state(second.checkpoint.load(), 100)


def test_a_checkpoint_that_is_deleted_while_it_is_adopted_is_left(run, monkeypatch):
    save(run, begin(run).start, 100, 200, keep_last=9)
    write = run.folder.write

    def delete_before(name, data, **told):
        if name == manifest_name(200):
            monkeypatch.undo()
            run.folder.delete(name)
        return write(name, data, **told)

    monkeypatch.setattr(run.folder, "write", delete_before)
    assert begin(run).first_step == 100


def test_an_error_surfaces_at_the_next_save_and_the_one_after_works(run, monkeypatch):
    begun = begin(run)
    store = checkpoint.CheckpointStore(run, begun.start, part_bytes=600)
    with monkeypatch.context() as patch:

        def full(name, data, **told):
            raise StorageError("no space left on device")

        patch.setattr(run.folder, "write", full)
        store.save(100, state_of(100), meta_of(100))
        with pytest.raises(StorageError, match="no space left"):
            store.save(200, state_of(200), meta_of(200))
    store.save(300, state_of(300), meta_of(300))
    store.close()
    assert store.last_published == 300
    assert [type(error) for error in store.errors] == [StorageError]
    assert [item.step for item in checkpoint.list_all(run)] == [300]


def test_a_failing_hook_leaves_nothing_published(run):
    begun = begin(run)

    def fail(step):
        raise StorageError("rows could not be written")

    with checkpoint.CheckpointStore(run, begun.start, before_publish=fail) as store:
        store.save(100, state_of(100), meta_of(100))
        with pytest.raises(StorageError, match="rows"):
            store.wait()
    assert list(run.folder.list("checkpoints/")) == []


def test_what_nobody_thought_of_is_still_one_of_our_errors(run):
    begun = begin(run)

    def fail(step):
        raise ZeroDivisionError("by nought")

    with checkpoint.CheckpointStore(run, begun.start, before_publish=fail) as store:
        store.save(100, state_of(100), meta_of(100))
        with pytest.raises(CheckpointError, match="ZeroDivisionError: by nought"):
            store.wait()


def test_an_error_inside_the_block_is_not_hidden(run):
    begun = begin(run)

    def interrupted():
        with checkpoint.CheckpointStore(run, begun.start) as store:
            store.save(100, state_of(100), meta_of(100))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert checkpoint.find_newest(run).step == 100
