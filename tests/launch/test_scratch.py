"""Folders that a command makes for itself and removes."""

import pytest

from trainer.errors import StorageError, TrainingError
from trainer.launch import scratch
from trainer.launch.scratch import scratch_folder


@pytest.fixture(params=["disk", "bucket"])
def beginning(request, tmp_path) -> str:
    if request.param == "bucket":
        return f"{request.getfixturevalue('bucket').address}/run-doctor"
    return str(tmp_path / "run-doctor")


@pytest.fixture
def cannot_remove(monkeypatch) -> None:
    def refuse(folder) -> None:
        raise StorageError("the disk is read-only")

    monkeypatch.setattr(scratch, "remove_all", refuse)


def test_each_is_its_own_and_goes_with_all_that_is_in_it(beginning):
    with scratch_folder(beginning) as one, scratch_folder(f"{beginning}/") as other:
        assert one.address != other.address
        one.write("deep/inside", b"1")
        other.write("large", b"2")
    for folder in (one, other):
        assert folder.address.startswith(f"{beginning}-")
        assert list(folder.list()) == []


def fails(beginning: str) -> None:
    with scratch_folder(beginning) as folder:
        folder.write("part", b"1")
        raise TrainingError("the losses are not finite")


def test_an_error_removes_it_too(tmp_path):
    with pytest.raises(TrainingError):
        fails(str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_removed_does_not_hide_the_cause(tmp_path, cannot_remove, caplog):
    with pytest.raises(TrainingError, match="not finite"):
        fails(str(tmp_path / "run"))
    (line,) = [line for line in caplog.messages if "could not be removed" in line]
    assert line.endswith("the disk is read-only")
    with scratch_folder(str(tmp_path / "run")) as folder:
        folder.write("part", b"1")
