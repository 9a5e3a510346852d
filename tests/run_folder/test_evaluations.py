"""What was measured of a run is read back by step, or refused with a remedy."""

import json

import pytest

from trainer import storage
from trainer.errors import CheckpointError
from trainer.run_folder import RunFolder, names, read_evaluations, write_evaluation


@pytest.fixture
def run(tmp_path):
    return RunFolder(storage.open_folder(str(tmp_path / "run")))


def test_evaluations_come_back_by_step(run):
    for step in (20, 10):
        write_evaluation(run, step, step * 64, {"results": []})
    run.folder.write(names.NEAREST, b"a picture")
    assert [(told["step"], told["images_seen"]) for told in read_evaluations(run)] == [
        (10, 640),
        (20, 1280),
    ]


@pytest.mark.parametrize(
    "told",
    [b"{", b"\xff", b"[]", b"null", b"{}", b'{"step": 10}', b'{"step": "ten", "images_seen": 0}'],
)
def test_what_is_no_evaluation_is_refused(run, told):
    write_evaluation(run, 10, 640, {"results": []})
    run.folder.write(names.evaluation(20), told)
    with pytest.raises(CheckpointError, match="step-000000020") as caught:
        read_evaluations(run)
    assert caught.value.expected
    assert "catgan evaluate" in caught.value.remedy
    run.folder.write(names.evaluation(20), json.dumps({"step": 20, "images_seen": 0}).encode())
    assert len(read_evaluations(run)) == 2
