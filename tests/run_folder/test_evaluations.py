"""What was measured of a run is read back by step, or refused with a remedy."""

import json

import pytest

from trainer import storage
from trainer.errors import CheckpointError
from trainer.run_folder import (
    RunFolder,
    RunRecord,
    StartRecord,
    names,
    read_evaluations,
    write_evaluation,
)
from trainer.run_folder.record import DatasetRecord


@pytest.fixture
def run(tmp_path):
    return RunFolder(storage.open_folder(str(tmp_path / "run")))


def test_evaluations_come_back_by_step(run):
    for step in (20, 10):
        write_evaluation(run, step, step * 64, {"results": []}, 1)
    run.folder.write(names.NEAREST, b"a picture")
    assert [(told["step"], told["images_seen"]) for told in read_evaluations(run)] == [
        (10, 640),
        (20, 1280),
    ]


def test_steps_that_the_run_went_back_behind_are_left_out(run):
    """Until they are measured again; those of an older version do not tell whose they are."""
    dataset = DatasetRecord(address="data", fingerprint="f")
    starts = tuple(
        StartRecord(number=number, token=str(number), first_step=step)
        for number, step in ((1, 0), (2, 15), (3, None))
    )
    record = RunRecord(name="x", dataset=dataset, config_hash="", starts=starts)
    run.folder.write(names.RECORD, record.to_json())
    for step in (10, 20, 30):
        write_evaluation(run, step, step * 64, {"results": []}, 1)
    write_evaluation(run, 20, 1280, {"results": []}, 2)
    run.folder.write(names.evaluation(40), b'{"step": 40, "images_seen": 0}')
    assert [told["step"] for told in read_evaluations(run)] == [10, 20, 40]


@pytest.mark.parametrize(
    "told",
    [b"{", b"\xff", b"[]", b"null", b"{}", b'{"step": 10}', b'{"step": "ten", "images_seen": 0}'],
)
def test_what_is_no_evaluation_is_refused(run, told):
    write_evaluation(run, 10, 640, {"results": []}, 1)
    run.folder.write(names.evaluation(20), told)
    with pytest.raises(CheckpointError, match="step-000000020") as caught:
        read_evaluations(run)
    assert caught.value.expected
    assert "catgan evaluate" in caught.value.remedy
    run.folder.write(names.evaluation(20), json.dumps({"step": 20, "images_seen": 0}).encode())
    assert len(read_evaluations(run)) == 2
