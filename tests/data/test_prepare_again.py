"""Interrupted and run again; finished and run again."""

import dataclasses
import itertools
import shlex
import shutil

import pytest

from tests.data.pictures import contents, noise, pictures, write_folder, write_tar
from tests.data.prepared import SMALL, files_of
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.data.shards import MANIFEST_NAME
from trainer.errors import ConfigError, DataError, InterruptedRun


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_it_goes_on_and_ends_with_the_same_bytes(tmp_path, workers):
    source = write_folder(tmp_path / "source", pictures(150))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = PrepareOptions(size_px=16, workers=workers)
    prepare(str(source), str(whole), options)
    converted = itertools.count()

    def interrupt_at(limit):
        def report(status):
            if status.phase == "converting" and next(converted) >= limit:
                raise KeyboardInterrupt

        return report

    for limit in (40, 90):
        with pytest.raises(InterruptedRun, match="goes on where it stopped"):
            prepare(str(source), str(stopped), options, interrupt_at(limit))
        assert not (stopped / MANIFEST_NAME).exists()
    done = []
    prepare(str(source), str(stopped), options, lambda status: done.append(status))
    first = next(status for status in done if status.phase == "converting")
    assert first.done >= 90
    assert files_of(stopped) == files_of(whole)


def test_what_changed_in_between_is_done_again(tmp_path):
    source = write_folder(tmp_path / "source", pictures(60))
    changed, gone = sorted(pictures(60))[:2]

    def stop(status):
        if status.phase == "writing":
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRun):
        prepare(str(source), str(tmp_path / "set"), SMALL, stop)
    (source / changed).write_bytes(noise(99, 30, 30))
    (source / gone).unlink()
    (source / "new.png").write_bytes(noise(98))
    prepare(str(source), str(tmp_path / "set"), SMALL)
    prepare(str(source), str(tmp_path / "fresh"), SMALL)
    assert files_of(tmp_path / "set") == files_of(tmp_path / "fresh")


def test_work_that_the_disk_lost_is_done_anew(tmp_path):
    """As after a power cut: the rows are there, the pictures are not."""
    source, target = write_folder(tmp_path / "source", pictures(60)), tmp_path / "set"

    def stop(status):
        if status.phase == "writing":
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRun):
        prepare(str(source), str(target), SMALL, stop)
    (records,) = target.rglob("records.bin")
    records.write_bytes(bytes(records.stat().st_size))
    with pytest.raises(DataError, match=r"records\.bin") as caught:
        prepare(str(source), str(target), SMALL)
    assert "begins anew" in caught.value.remedy
    prepare(str(source), str(target), SMALL)
    prepare(str(source), str(tmp_path / "fresh"), SMALL)
    assert files_of(target) == files_of(tmp_path / "fresh")


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_finished_and_damaged_it_is_made_again(tmp_path, damage, caplog):
    """The same command is what the program tells a person to do about a damaged shard."""
    source, target = write_folder(tmp_path / "source", pictures(40)), tmp_path / "set"
    prepare(str(source), str(target), SMALL)
    whole, shard = files_of(target), next(target.glob("train-*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[-50] ^= 1
    shard.write_bytes({"flipped": data, "cut": data[:-9], "missing": b""}[damage])
    if damage == "missing":
        shard.unlink()
    prepare(str(source), str(target), SMALL)
    assert f"made again: {shard.name}" in caplog.text
    assert files_of(target) == whole


@pytest.mark.parametrize("same", [True, False])
def test_another_one_may_finish_while_shards_are_written(tmp_path, same):
    source, target = write_folder(tmp_path / "source", pictures(40)), tmp_path / "set"
    theirs = SMALL if same else dataclasses.replace(SMALL, val_fraction=0.5)
    prepare(str(source), str(tmp_path / "theirs"), theirs)

    def finish_theirs(status):
        if status.phase == "writing":
            shutil.copytree(tmp_path / "theirs", target, dirs_exist_ok=True)

    if same:
        prepare(str(source), str(target), SMALL, finish_theirs)
        assert files_of(target) == files_of(tmp_path / "theirs")
    else:
        with pytest.raises(ConfigError, match="prepared otherwise"):
            prepare(str(source), str(target), SMALL, finish_theirs)


@pytest.mark.parametrize("same", [True, False])
def test_what_another_one_finished_meanwhile_is_not_written_over(tmp_path, same):
    """It converted on another machine, into the same bucket or shared folder."""
    source, target = write_folder(tmp_path / "source", pictures(40)), tmp_path / "set"
    theirs = SMALL if same else dataclasses.replace(SMALL, val_fraction=0.5)
    prepare(str(source), str(tmp_path / "theirs"), theirs)
    ours = []

    def finish_theirs(status):
        if status.phase == "converting" and not ours:
            ours.append(status)
            shutil.copytree(tmp_path / "theirs", target, dirs_exist_ok=True)

    if same:
        prepare(str(source), str(target), SMALL, finish_theirs)
    else:
        with pytest.raises(ConfigError, match="prepared otherwise"):
            prepare(str(source), str(target), SMALL, finish_theirs)
    assert ours
    assert files_of(target) == files_of(tmp_path / "theirs")


def face(shift):
    """Landmarks in a picture of 200 px."""
    points = [80, 100, 120, 100, 100, 130, 60, 70, 70, 40, 85, 65, 115, 65, 130, 40, 140, 70]
    return " ".join(map(str, [9, *(point + shift for point in points)])).encode()


@pytest.mark.parametrize("pack", [None, "w", "w:gz"])
def test_landmarks_that_changed_in_between_are_used(tmp_path, pack):
    def write(files):
        if pack is None:
            shutil.rmtree(source, ignore_errors=True)
            write_folder(source, files)
        else:
            write_tar(source, files, pack)

    def stop(status):
        if status.phase == "writing":
            raise KeyboardInterrupt

    source = tmp_path / "source"
    pictures = {f"{k}.png": noise(k, 200, 200) for k in range(4)}
    marks = {f"{k}.png.cat": face(0) for k in range(3)}
    write({**marks, **pictures})
    options = PrepareOptions(size_px=16, crop="landmarks", workers=1)
    with pytest.raises(InterruptedRun):
        prepare(str(source), str(tmp_path / "set"), options, stop)
    marks |= {"1.png.cat": face(-10), "3.png.cat": face(0)}
    del marks["2.png.cat"]
    write({**pictures, **marks})
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert set(contents(tmp_path / "set", manifest)) == {"0.png", "1.png", "3.png"}
    prepare(str(source), str(tmp_path / "fresh"), options)
    assert files_of(tmp_path / "set") == files_of(tmp_path / "fresh")


def test_other_options_after_an_interruption_start_anew(tmp_path):
    source = write_folder(tmp_path / "source", pictures(20))

    def stop(status):
        if status.phase == "writing" and status.done > 8:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRun):
        prepare(str(source), str(tmp_path / "set"), SMALL, stop)
    options = PrepareOptions(size_px=8, workers=1, val_fraction=0)
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    assert manifest.size_px == 8
    shards = {path.name for path in (tmp_path / "set").glob("*.tfrecord")}
    assert shards == {shard.name for shard in manifest.shards}


def test_a_compressed_archive_that_has_changed_is_told(tmp_path):
    """Its files are not listed for it."""
    path, target = tmp_path / "source.tar.gz", str(tmp_path / "set")
    write_tar(path, pictures(20), "w:gz")
    prepare(str(path), target, SMALL)
    prepare(str(path), target, SMALL)
    write_tar(path, {**pictures(20), "new.png": noise(99)}, "w:gz")
    with pytest.raises(ConfigError, match="has changed since"):
        prepare(str(path), target, SMALL)


def test_finished_it_does_nothing(tmp_path):
    source = write_folder(tmp_path / "source", pictures(20))
    first = prepare(str(source), str(tmp_path / "set"), SMALL)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()}
    options = PrepareOptions(size_px=16, workers=5)
    assert prepare(str(source), str(tmp_path / "set"), options) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()} == times
    source.rename(tmp_path / "moved")
    assert prepare(str(tmp_path / "moved"), str(tmp_path / "set"), SMALL) == first


def test_finished_otherwise_it_names_what_differs_and_both_remedies(tmp_path):
    source = write_folder(tmp_path / "source", pictures(20))
    prepare(str(source), str(tmp_path / "set"), SMALL)
    with pytest.raises(ConfigError) as caught:
        prepare(str(source), str(tmp_path / "set"), PrepareOptions(size_px=8, workers=1))
    assert "size_px is 16, asked for 8" in str(caught.value)
    assert "another address" in caught.value.remedy
    assert "rm -r" in caught.value.remedy
    (source / "new.png").write_bytes(noise(50))
    with pytest.raises(ConfigError, match="has changed since"):
        prepare(str(source), str(tmp_path / "set"), SMALL)
    with pytest.raises(ConfigError, match=r"source is .*/source, asked for drawn:9:0"):
        prepare("drawn:9", str(tmp_path / "set"), SMALL)


def test_the_remedy_can_be_pasted_whatever_the_address(tmp_path):
    target = tmp_path / "my cats; all"
    prepare("drawn:9", str(target), SMALL)
    with pytest.raises(ConfigError) as caught:
        prepare("drawn:8", str(target), SMALL)
    assert shlex.split(caught.value.remedy)[-3:] == ["rm", "-r", str(target)]
