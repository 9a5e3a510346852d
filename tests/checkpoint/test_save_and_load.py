"""Saving and finding checkpoints when nothing goes wrong."""

import json
import threading

import numpy as np
import pytest
import safetensors.numpy

from tests.checkpoint.conftest import assert_is_state, begin, meta_of, save, state_of
from trainer import checkpoint
from trainer.checkpoint.format import MANIFEST
from trainer.checkpoint.listing import manifest_name
from trainer.errors import CheckpointError
from trainer.run_folder import MetricsLog, read_metrics


def steps_of(run):
    return [item.step for item in checkpoint.list_all(run) if item.counts]


def test_a_new_run_begins_at_zero(run):
    assert checkpoint.find_newest(run) is None
    begun = begin(run)
    assert (begun.start, begun.first_step, begun.checkpoint) == (1, 0, None)


def test_what_was_saved_is_loaded(run):
    begun = begin(run)
    save(run, begun.start, 100, 200)
    newest = checkpoint.find_newest(run)
    assert (newest.step, newest.images_seen, newest.manifest.start) == (200, 12800, 1)
    assert newest.meta == meta_of(200)
    assert_is_state(newest.load(), 200)
    assert_is_state(newest.load(), 200)  # a second time: read again
    assert_is_state(checkpoint.open_step(run, 100).load(), 100)


def test_parts_are_plain_safetensors_and_nothing_else_is_there(run):
    save(run, begin(run).start, 7)
    folder = run.folder.path("checkpoints/step-000000007")
    parts = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    assert parts[0].startswith("start-0001-part-0001-of-000")
    assert len(parts) > 1
    tensors = {}
    for part in parts:
        tensors.update(safetensors.numpy.load_file(folder / part))
    assert_is_state(tensors, 7)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    assert manifest["format_version"] == 1
    assert [part["name"] for part in manifest["parts"]] == parts


def test_tensors_may_have_any_layout(run):
    begun = begin(run)
    odd = {
        "a": np.arange(24.0).reshape(4, 6).T,
        "b": np.arange(10, dtype=">i8")[::-2],
        "c": np.broadcast_to(np.float32(3), (2, 2)),
    }
    with checkpoint.CheckpointStore(run, begun.start) as store:
        store.save(1, odd, {"images_seen": 1})
    loaded = checkpoint.find_newest(run).load()
    for name, array in odd.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].flags.writeable


def test_an_empty_state_can_be_saved(run):
    with checkpoint.CheckpointStore(run, begin(run).start) as store:
        store.save(1, {}, {"images_seen": 0})
    assert checkpoint.find_newest(run).load() == {}


@pytest.mark.parametrize(
    "value", [np.array(["text"]), np.array([object()]), np.array([1j]), [1.0], "x"]
)
def test_what_cannot_be_held_is_refused_at_once(run, value):
    with (
        checkpoint.CheckpointStore(run, begin(run).start) as store,
        pytest.raises(CheckpointError, match="odd/one"),
    ):
        store.save(1, {"odd/one": value}, {})
    assert list(run.folder.list("checkpoints/")) == []


def test_only_the_wanted_parts_are_read(run, monkeypatch):
    save(run, begin(run).start, 7)
    reads = []
    read = run.folder.read
    monkeypatch.setattr(run.folder, "read", lambda name: reads.append(name) or read(name))
    newest = checkpoint.find_newest(run, prefixes=("ema/",))
    loaded = newest.load(("ema/",))
    assert list(loaded) == ["ema/dense/kernel"]
    assert len(reads) == 1, "verified and loaded in one read"
    assert_is_state(newest.load(), 7)


def test_finding_and_loading_reads_each_part_once(run, monkeypatch):
    save(run, begin(run).start, 7)
    reads = []
    read = run.folder.read
    monkeypatch.setattr(run.folder, "read", lambda name: reads.append(name) or read(name))
    checkpoint.find_newest(run).load()
    assert len(reads) == len(set(reads)) > 1


def test_save_returns_while_the_write_is_held_up(run, monkeypatch):
    begun = begin(run)
    go_on = threading.Event()
    write = run.folder.write

    def held_up(name, data, **told):
        assert go_on.wait(60)
        return write(name, data, **told)

    monkeypatch.setattr(run.folder, "write", held_up)
    with checkpoint.CheckpointStore(run, begun.start) as store:
        store.save(1, state_of(1), meta_of(1))
        assert store.waits == 0
        threading.Timer(0.05, go_on.set).start()
        store.save(2, state_of(2), meta_of(2))  # has to wait for its turn
        assert store.waits == 1
        assert store.last_published == 1
    assert steps_of(run) == [1, 2]


def test_a_second_start_goes_on_and_replaces_what_it_overtakes(run):
    save(run, begin(run).start, 100, 200, 300, keep_last=9)
    second = begin(run, from_step=100)
    assert (second.start, second.first_step, second.images_seen) == (2, 100, 6400)
    assert_is_state(second.checkpoint.load(), 100)
    assert steps_of(run) == [100]
    assert checkpoint.find_newest(run).step == 100
    save(run, second.start, 200, seed=1, keep_last=9)
    assert_is_state(checkpoint.find_newest(run).load(), 200, seed=1)
    assert [(i.step, i.superseded) for i in checkpoint.list_all(run)] == [
        (100, False),
        (200, False),
        (300, True),
    ]
    with pytest.raises(CheckpointError, match=r"start 2 went on from step 100") as caught:
        checkpoint.open_step(run, 300)
    assert "step-000000200" in caught.value.expected


def test_a_step_that_counts_already_is_not_written_again(run):
    save(run, begin(run).start, 100)
    before = run.folder.read(manifest_name(100))
    second = begin(run)
    adopted = run.folder.read(manifest_name(100))
    assert json.loads(adopted) == {**json.loads(before), "adopted_by": [2]}
    save(run, second.start, 100, seed=1)
    assert run.folder.read(manifest_name(100)) == adopted
    assert_is_state(checkpoint.find_newest(run).load(), 100)
    assert not any("start-0002" in entry.name for entry in run.folder.list())


def test_rows_are_durable_before_the_checkpoint_is_published(run):
    begun = begin(run)
    log = MetricsLog(run, begun.start, begun.first_step)
    seen = []

    def flush(step):
        log.flush()
        seen.append((step, run.folder.exists(manifest_name(step)), len(read_metrics(run))))

    with checkpoint.CheckpointStore(run, begun.start, before_publish=flush) as store:
        log.append({"step": 5})
        store.save(5, state_of(5), meta_of(5))
    assert seen == [(5, False, 1)]


def test_an_address_opens_a_checkpoint_or_a_runs_newest(run, caplog):
    save(run, begin(run).start, 100, 200, keep_last=9)
    assert checkpoint.open_address(run.address).step == 200
    at = f"{run.address}/checkpoints/step-000000100"
    assert_is_state(checkpoint.open_address(at).load(), 100)
    begin(run, from_step=100)
    late = checkpoint.open_address(f"{run.address}/checkpoints/step-000000200")
    assert_is_state(late.load(), 200)
    assert "overtaken by start 2" in caplog.text
    with pytest.raises(CheckpointError, match="step-000000300") as caught:
        checkpoint.open_address(f"{run.address}/checkpoints/step-000000300")
    assert "step-000000100" in caught.value.expected


def test_an_empty_run_has_nothing_to_open(run):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoint.open_address(run.address)
    with pytest.raises(CheckpointError, match="no checkpoint step-000000005"):
        checkpoint.open_step(run, 5)


def test_a_description_is_ready_for_json(run):
    save(run, begin(run).start, 7)
    told = checkpoint.describe(checkpoint.open_step(run, 7))
    assert told["whole"]
    assert told["counts"]
    assert told["groups"]["generator"] == {"tensors": 2, "numbers": 123}
    assert told["address"] == f"{run.address}/checkpoints/step-000000007"
    json.dumps(told)


def test_a_run_without_its_record_is_not_begun_again(run):
    save(run, begin(run).start, 7)
    run.folder.delete("run.json")
    with pytest.raises(CheckpointError, match=r"1 checkpoints .*step-000000007.* no run\.json"):
        begin(run)
    assert run.read_record() is None


def test_a_begin_that_fails_says_so_in_the_record(run):
    save(run, begin(run).start, 7)
    with pytest.raises(CheckpointError, match="step-000000009"):
        begin(run, from_step=9)
    second = run.read_record().start(2)
    assert second.ended
    assert "step-000000009" in second.cause
