"""The run folder: names, the record under compare-and-swap, metrics rows."""

import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.run_folder.begun import begin_start
from trainer import storage
from trainer.errors import CatganError, CheckpointError, ConfigError
from trainer.run_folder import (
    MetricsLog,
    NewRun,
    RunFolder,
    folder,
    names,
    read_metrics,
    split_run_address,
    step_name,
)
from trainer.run_folder.record import read_record

NEW = NewRun("cats", "/data/cats", "f00d", "c0ffee", {"jit": False})


@pytest.fixture
def run(tmp_path):
    return RunFolder(storage.open_folder(str(tmp_path / "run")))


def test_steps_have_nine_digits():
    assert step_name(12000) == "step-000012000"
    assert names.checkpoint_folder(12000) == "checkpoints/step-000012000"
    assert names.sample(0) == "samples/step-000000000.png"
    assert names.parse_sample(names.sample(12000)) == 12000
    assert names.parse_sample(names.LATEST_SAMPLE) is None
    assert names.parse_sample("walks/step-000012000.png") is None
    assert names.metrics_part(3, 12000, 1) == "metrics/start-0003-from-000012000-part-0001.jsonl"
    assert names.parse_metrics_part(names.metrics_part(3, 12000, 1)) == (3, 12000, 1)
    for step in (-1, 10**9):
        with pytest.raises(ConfigError, match=str(step)):
            step_name(step)


@pytest.mark.parametrize("text", ["step-000012000", "12000", "12_000", " 12,000 ", "000012000"])
def test_a_step_is_read_as_people_write_it(text):
    assert names.parse_step(text) == 12000


@pytest.mark.parametrize("text", ["", "step-12", "-1", "1e3", "newest", "1234567890", "12,0"])
def test_what_is_no_step_is_refused(text):
    with pytest.raises(ConfigError, match="step-000012000"):
        names.parse_step(text)


def test_a_checkpoints_address_is_split():
    assert split_run_address("gs://b/r/checkpoints/step-000000007") == ("gs://b/r", 7)
    assert split_run_address("r/checkpoints/step-000000007/manifest.json") == ("r", 7)
    assert split_run_address("r/checkpoints/step-7") == ("r/checkpoints/step-7", None)
    assert split_run_address("runs/cats") == ("runs/cats", None)


def test_a_new_run_gets_a_record(run):
    assert run.read_record() is None
    number = begin_start(run, 0, NEW, host="here", world_size=2, versions={"catgan": "1"})
    record = run.read_record()
    assert (number, record.status, record.name) == (1, "running", "cats")
    assert record.dataset.address == "/data/cats"
    start = record.start(1)
    assert (start.first_step, start.host, start.world_size) == (0, "here", 2)
    assert start.time.endswith("+00:00")
    raw = json.loads(run.folder.read("run.json"))
    assert raw["format_version"] == 1


def test_starts_are_numbered_and_their_ends_kept(run):
    begin_start(run, 0, NEW, host="a")
    run.end_start(1, "stopped", "interrupted\n by hand", step=70, images_seen=4480)
    second = NewRun("cats", "/moved/cats", "f00d", "other", {"jit": True, "threads": 2})
    assert begin_start(run, 50, second, host="b", overrides={"training.steps": 900}) == 2
    begin_start(run, 60, NEW, host="c")
    first, second, third = run.read_record().starts
    assert first.cause == "interrupted by hand"
    assert first.ended
    assert "no end was recorded" in second.cause
    assert second.overrides == {"training.steps": 900}
    assert third.cause is None
    assert run.read_record().choices == {"jit": False, "threads": 2}, "the first choice holds"


def test_the_data_set_may_move_but_not_change(run):
    begin_start(run, 0, NEW, host="a")
    other = NewRun("cats", "/data/dogs", "beef", "c0ffee")
    with pytest.raises(CheckpointError, match="beef"):
        run.claim_start(other, host="b")
    assert len(run.read_record().starts) == 1


def test_many_claims_at_once_get_different_numbers(run):
    numbers: list[int] = []

    def claim():
        numbers.append(run.claim_start(NEW, host="same", versions={"a": "b"}))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))


def test_a_claim_whose_answer_was_lost_is_not_made_twice(run, monkeypatch):
    run.claim_start(NEW, host="a")
    write = run.folder.write

    def lose_answer(name, data, *, if_generation=None):
        monkeypatch.undo()
        write(name, data, if_generation=if_generation)
        raise storage.Conflict("412 on the second try")

    monkeypatch.setattr(run.folder, "write", lose_answer)
    assert run.claim_start(NEW, host="a") == 2
    assert len(run.read_record().starts) == 2


def test_who_lost_the_race_cannot_settle(run):
    first = run.claim_start(NEW, host="slow")
    run.claim_start(NEW, host="quick")
    with pytest.raises(CheckpointError, match="start 2 on quick took over"):
        run.settle_start(first, 0)


def test_progress_is_written_at_most_every_five_seconds(run, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(folder.time, "monotonic", lambda: now[0])
    number = begin_start(run, 0, NEW, host="a")
    assert run.note_progress(number, 10, 640)
    now[0] += 4.9
    assert not run.note_progress(number, 20, 1280)
    assert run.read_record().step == 10
    now[0] += 0.2
    assert run.note_progress(number, 30, 1920)
    assert run.read_record().images_seen == 1920
    run.end_start(number, "finished", "done", step=31, images_seen=1984)
    assert (run.read_record().status, run.read_record().step) == ("finished", 31)


def test_a_fenced_start_is_told_who_took_over(run, monkeypatch):
    monkeypatch.setattr(folder, "PROGRESS_SECS", 0.0)
    first = begin_start(run, 0, NEW, host="a")
    second = run.claim_start(NEW, host="b")
    run.note_progress(first, 5, 5)
    assert run.read_record().step == 0, "while another chooses, the record is left alone"
    run.settle_start(second, 4, 256)
    with pytest.raises(CheckpointError, match=r"start 2 on b took over .* at step 4"):
        run.note_progress(first, 6, 6)
    run.end_start(first, "failed", "fenced out")
    record = run.read_record()
    assert (record.status, record.step, record.images_seen) == ("running", 4, 256)
    assert record.start(first).cause == "fenced out"


def test_a_claim_that_gave_up_does_not_stop_the_start_before(run, monkeypatch):
    monkeypatch.setattr(folder, "PROGRESS_SECS", 0.0)
    first = begin_start(run, 0, NEW, host="a")
    second = run.claim_start(NEW, host="b")
    run.end_start(second, "failed", "no such checkpoint")
    run.note_progress(first, 5, 320)
    assert (run.read_record().status, run.read_record().step) == ("running", 5)


def test_a_record_that_vanished_is_an_error(run):
    number = begin_start(run, 0, NEW, host="a")
    run.folder.delete("run.json")
    with pytest.raises(CheckpointError, match=r"run\.json"):
        run.note_progress(number, 1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format_version": 2}',
        b'{"format_version": 1, "name": "x"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_damaged_record_is_named(run, data):
    run.folder.write("run.json", data)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        run.read_record()


def _json():
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    return st.recursive(
        leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )


@given(st.dictionaries(st.sampled_from(["name", "status", "step", "starts", "dataset"]), _json()))
@settings(max_examples=100, deadline=None)
def test_no_record_ends_in_a_traceback(changes):
    good = {
        "format_version": 1,
        "name": "x",
        "dataset": {"address": "a", "fingerprint": "f"},
        "config_hash": "h",
    }
    try:
        read_record(json.dumps({**good, **changes}).encode(), "run.json")
    except CatganError as error:
        assert "run.json" in str(error)  # noqa: PT017 - it may also be fine


def test_config_is_kept_as_text(run):
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        run.read_config()
    run.write_config("seed: 1\n")
    assert run.read_config() == "seed: 1\n"


def test_metrics_come_back_in_order(run):
    log = MetricsLog(run, 1, 0)
    for step in (1, 2, 3):
        log.append({"step": step, "loss": np.float32(0.5), "odd": float("nan"), "n": np.int64(3)})
    assert read_metrics(run) == []
    log.flush()
    rows = read_metrics(run)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[0] == {"step": 1, "loss": 0.5, "odd": None, "n": 3}


def test_metrics_parts_stay_below_their_limit(run):
    log = MetricsLog(run, 3, 12000, part_bytes=1000)
    for step in range(12001, 12101):
        log.append({"step": step, "text": "x" * 50})
        if step % 7 == 0:
            log.flush()
    log.append({"step": 12101, "text": "x" * 5000})
    log.flush()
    entries = list(run.folder.list("metrics/"))
    assert entries[0].name == "metrics/start-0003-from-000012000-part-0001.jsonl"
    assert len(entries) > 5
    assert all(entry.size_bytes <= 1000 for entry in entries[:-1])
    assert [row["step"] for row in read_metrics(run)] == list(range(12001, 12102))


def test_full_metrics_parts_are_not_written_again(run, monkeypatch):
    log = MetricsLog(run, 1, 0, part_bytes=100)
    written = []
    write = run.folder.write
    monkeypatch.setattr(
        run.folder, "write", lambda name, data: written.append(name) or write(name, data)
    )
    for step in range(10):
        log.append({"step": step, "text": "x" * 80})
        log.flush()
    assert written == [names.metrics_part(1, 0, part) for part in range(1, 11)]
    log.flush()
    assert len(written) == 10, "nothing new, nothing written"


def test_rows_survive_a_failed_flush(run, monkeypatch):
    log = MetricsLog(run, 1, 0, part_bytes=100)
    for step in range(5):
        log.append({"step": step, "text": "x" * 60})

    def full(name, data):
        raise storage.StorageError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(run.folder, "write", full)
        with pytest.raises(storage.StorageError):
            log.flush()
    log.append({"step": 5})
    log.flush()
    assert [row["step"] for row in read_metrics(run)] == [0, 1, 2, 3, 4, 5]


def _rows(run, start, first, steps, tag):
    log = MetricsLog(run, start, first)
    for step in steps:
        log.append({"step": step, "by": tag})
    log.flush()


def test_where_starts_overlap_the_later_one_holds(run):
    _rows(run, 1, 0, range(1, 9), "a")
    _rows(run, 2, 4, range(5, 8), "b")
    assert [(r["step"], r["by"]) for r in read_metrics(run)] == [
        *[(s, "a") for s in range(1, 5)],
        *[(s, "b") for s in range(5, 8)],
    ]
    _rows(run, 3, 2, [3], "c")
    assert [(r["step"], r["by"]) for r in read_metrics(run)] == [(1, "a"), (2, "a"), (3, "c")]


def test_a_start_that_wrote_no_row_drops_rows_too(run):
    begin_start(run, 0, NEW, host="a")
    _rows(run, 1, 0, range(1, 9), "a")
    begin_start(run, 4, NEW, host="b")
    assert [row["step"] for row in read_metrics(run)] == [1, 2, 3, 4]


def test_foreign_lines_and_files_are_skipped(run, caplog):
    _rows(run, 1, 0, [1], "a")
    run.folder.write("metrics/notes.txt", b"mine")
    name = names.metrics_part(1, 0, 2)
    run.folder.write(name, b'{"step": 2}\nnot json\n[1]\n{"step": true}\n{"step": 3}\n')
    assert [row["step"] for row in read_metrics(run)] == [1, 2, 3]
    assert caplog.text.count("no metrics row") == 3
