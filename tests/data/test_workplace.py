"""The work folder of an unfinished `prepare`: one process at a time, and whose it is to remove."""

import fcntl
import shutil

import pytest

from tests.data.prepared import SMALL
from trainer import storage
from trainer.data import prepare as module
from trainer.data import workplace
from trainer.data.prepare import prepare
from trainer.data.workplace import copies_folder, held, remove_work, work_folder
from trainer.errors import DataError


def must_be_held(folder):
    with pytest.raises(DataError, match="another process is preparing"), held(folder):
        pass


def test_a_second_prepare_leaves_the_work_of_the_first_alone(tmp_path):
    work = work_folder(storage.open_folder(tmp_path / "set"))
    with held(work):
        (work / "records.bin").write_bytes(b"of the first")
        with pytest.raises(DataError, match="another process is preparing"):
            prepare("drawn:5", str(tmp_path / "set"), SMALL)
        assert (work / "records.bin").read_bytes() == b"of the first"
        must_be_held(work)


@pytest.mark.parametrize("source", ["drawn:5", "empty"])
def test_the_folder_goes_while_it_is_still_held(tmp_path, monkeypatch, source):
    gone = []

    def remove(folder):
        must_be_held(folder)
        gone.append(folder)
        remove_work(folder)

    monkeypatch.setattr(module, "remove_work", remove)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    if source == "empty":
        with pytest.raises(DataError, match="holds no pictures"):
            prepare(source, "set", SMALL)
    else:
        prepare(source, "set", SMALL)
    assert gone == [tmp_path / "set" / ".prepare"]
    assert not gone[0].exists()


def test_a_folder_that_went_before_it_could_be_locked_is_made_again(tmp_path, monkeypatch):
    flock, calls = fcntl.flock, []

    def late(descriptor, how):
        if not calls:
            shutil.rmtree(tmp_path / "work")
        calls.append(how)
        flock(descriptor, how)

    monkeypatch.setattr(workplace.fcntl, "flock", late)
    with held(tmp_path / "work"):
        assert (tmp_path / "work").is_dir()
        must_be_held(tmp_path / "work")


def test_only_the_copy_of_the_source_as_it_is_now_is_kept(tmp_path):
    for stamp in ("1", "1", "2"):
        folder = copies_folder(tmp_path, stamp)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cats.zip").write_bytes(stamp.encode())
    assert [path.name for path in tmp_path.glob("source/*")] == ["2"]
