"""A disk that fills up while a checkpoint is written."""

from pathlib import Path

import pytest

from tests.checkpoint.conftest import NEW, assert_is_state, meta_of, state_of
from trainer import checkpoint, storage
from trainer.errors import StorageError
from trainer.run_folder import RunFolder

SIZE = 20_000  # rows of the state: about 0.8 MB
DISK_MIB = 3


def files_of(place: Path) -> list[str]:
    return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())


def test_a_full_disk_leaves_the_newest_checkpoint_whole(small_disk):
    disk = small_disk(DISK_MIB)
    run = RunFolder(storage.open_folder(str(disk / "run")))
    start = checkpoint.begin(run, NEW, host="here").start
    with checkpoint.CheckpointStore(run, start, part_bytes=300_000, keep_last=1) as store:
        store.save(10, state_of(10, size=SIZE), meta_of(10))
        store.wait()
        before = files_of(disk)
        (disk / "ballast").write_bytes(bytes(2_100_000))
        store.save(20, state_of(20, size=SIZE), meta_of(20))
        with pytest.raises(StorageError, match=r"[Nn]o space left") as caught:
            store.wait()
        assert "bytes are free" in caught.value.expected
        assert caught.value.remedy
        assert files_of(disk) == sorted(["ballast", *before]), "what was begun is cleared"
        assert_is_state(checkpoint.find_newest(run).load(), 10, size=SIZE)
        (disk / "ballast").unlink()
        store.save(30, state_of(30, size=SIZE), meta_of(30))
    assert_is_state(checkpoint.find_newest(run).load(), 30, size=SIZE)


def test_a_disk_that_is_too_small_is_refused_at_the_start(small_disk):
    disk = small_disk(DISK_MIB)
    run = RunFolder(storage.open_folder(str(disk / "run")))
    state_bytes = sum(array.nbytes for array in state_of(0, size=SIZE).values())
    checkpoint.check_space(run, state_bytes, keep_last=1)
    with pytest.raises(StorageError, match="MiB free"):
        checkpoint.check_space(run, state_bytes, keep_last=3)
    assert files_of(disk) == []
