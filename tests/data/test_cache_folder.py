"""The files of a cache folder: room, parts, and whose file is removed."""

from trainer.data.cache_folder import CacheFolder, Wait


def test_a_good_file_that_replaced_a_damaged_one_is_not_discarded(tmp_path):
    folder = CacheFolder(tmp_path, 100)
    folder.reserve("a", 4).finish(b"harm").close()
    one, other = folder.open("a"), folder.open("a")
    folder.discard(one)
    folder.reserve("a", 4).finish(b"good").close()
    folder.discard(other)
    assert folder.path_of("a").read_bytes() == b"good"


def test_room_of_a_killed_process_is_taken_back(tmp_path):
    folder = CacheFolder(tmp_path, 100)
    (tmp_path / "a.0123.part").write_bytes(b"x" * 90)
    part = folder.reserve("a", 50)
    assert not isinstance(part, Wait)
    assert folder.used_bytes() == 50
    assert folder.reserve("a", 50) is Wait.COMING
    assert folder.reserve("b", 60) is Wait.FULL
    lease = part.finish(b"y" * 50)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tfrecord"]
    lease.close()
    assert not isinstance(folder.reserve("b", 60), Wait)


def test_a_part_that_is_dropped_leaves_nothing(tmp_path):
    part = CacheFolder(tmp_path, 100).reserve("a", 50)
    part.drop()
    part.drop()
    assert list(tmp_path.iterdir()) == []
