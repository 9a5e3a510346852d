"""What a folder on a disk owes beyond the contract: nothing half done, nothing left behind."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trainer import storage
from trainer.storage import files


def remains(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if files.is_temporary(path.name)]


def run_python(code: str, *arguments: object, prefix: tuple[str, ...] = ()) -> str:
    command = [*prefix, sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readers_see_whole_writes_only(tmp_path: Path) -> None:
    folder = storage.open_folder(tmp_path)
    folder.write("it", b"0" * 100_000)
    stop = threading.Event()

    def write() -> None:
        for turn in range(30):
            folder.write("it", str(turn % 10).encode() * 100_000)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        content = folder.read("it")
        assert len(content) == 100_000
        assert len(set(content)) == 1
    writer.join()
    assert remains(tmp_path) == []


def test_an_open_file_stays_what_it_was(tmp_path: Path) -> None:
    folder = storage.open_folder(tmp_path)
    folder.write("it", b"old")
    with (tmp_path / "it").open("rb") as stream:
        folder.write("it", b"new")
        assert stream.read() == b"old"


def test_killed_writers_leave_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; from trainer import storage; f = storage.open_folder(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True: f.write('it', b'x' * 3_000_000)"
    )
    folder = storage.open_folder(tmp_path)
    for pause_secs in (0.0, 0.003, 0.011, 0.02):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pause_secs)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert [entry.name for entry in folder.list()] in ([], ["it"])
        assert not folder.exists("it") or folder.read("it") == b"x" * 3_000_000
    monkeypatch.setattr(files, "_STALE_SECS", -1.0)
    storage.open_folder(tmp_path).write("other", b"")
    assert remains(tmp_path) == []


def test_a_living_writer_is_not_tidied_away(tmp_path: Path) -> None:
    with files.temporary_file(tmp_path) as (path, _):
        os.utime(path, (1, 1))
        assert files.remove_stale(tmp_path) == 0
        assert path.exists()


def test_unfinished_writes_cannot_be_named(tmp_path: Path) -> None:
    folder = storage.open_folder(tmp_path)
    with files.temporary_file(tmp_path) as (path, _):
        assert list(folder.list()) == []
        with pytest.raises(storage.NotFound):
            folder.read(path.name)


def test_deleting_the_last_object_removes_empty_folders(tmp_path: Path) -> None:
    run = storage.open_folder(tmp_path / "run")
    checkpoints = run.child("checkpoints")
    checkpoints.write("step-1/part", b"x")
    checkpoints.write("step-2/part", b"x")
    checkpoints.delete("step-1/part")
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-2"]
    checkpoints.child("step-2").delete("part")
    assert list((tmp_path / "run").iterdir()) == []


def test_writing_beside_a_deletion_of_the_same_folder(tmp_path: Path) -> None:
    folder = storage.open_folder(tmp_path)
    failures: list[BaseException] = []

    def churn(name: str) -> None:
        try:
            for _ in range(40):
                folder.write(f"shared/{name}", b"x")
                folder.delete(f"shared/{name}", missing_ok=False)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(tmp_path.iterdir()) == []


def test_files_of_other_programs_count(tmp_path: Path) -> None:
    folder = storage.open_folder(tmp_path)
    generation = folder.write("it", b"ours")
    (tmp_path / "it").write_bytes(b"edited by hand")
    with pytest.raises(storage.Conflict):
        folder.write("it", b"again", if_generation=generation)
    assert folder.read("it") == b"edited by hand"


def test_symbolic_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "cat.png").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "real")
    (root / "alone.png").symlink_to(tmp_path / "real" / "cat.png")
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    (root / "circle").symlink_to(root)
    names = [entry.name for entry in storage.open_folder(root).list()]
    assert names == ["alone.png", "linked/cat.png"]


def test_a_held_lock_is_waited_for_until_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.2")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(storage.StorageError, match="lock"):
            storage.open_folder(tmp_path).write("it", b"x")
    finally:
        os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import sys
from pathlib import Path
from trainer import storage
folder = storage.open_folder(sys.argv[1])
folder.write("before", b"x" * 1000)
source = Path(sys.argv[2])
source.write_bytes(b"y" * 5_000_000)
for call in (
    lambda: folder.write("it", b"y" * 5_000_000),
    lambda: folder.write("before", b"y" * 5_000_000),
    lambda: folder.upload("it", source),
    lambda: storage.open_folder(source.parent).download(source.name, sys.argv[1] + "/it"),
):
    try:
        call()
    except storage.StorageError as error:
        print(str(error).replace("\\n", " "))
assert folder.read("before") == b"x" * 1000
assert [entry.name for entry in folder.list()] == ["before"]
assert [p.name for p in Path(sys.argv[1]).iterdir()] == ["before"]
"""


def test_a_full_disk(tmp_path: Path) -> None:
    mount = ("unshare", "--user", "--map-root-user", "--mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=2m tmpfs '{disk}' && exec \"$@\""
    prefix = (*mount, "sh", "-c", script, "sh")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("this machine does not let a test mount a small disk (unshare)")
    said = run_python(FULL_DISK, disk, tmp_path / "source", prefix=prefix).splitlines()
    assert len(said) == 4
    for line in said:
        assert "No space left" in line
        assert "5,000,000 bytes of space" in line
        assert "bytes are free there" in line


def test_a_full_quota(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))"
    code = (
        f"{limit}\nimport sys\nfrom trainer import storage\n"
        "folder = storage.open_folder(sys.argv[1])\n"
        "try: folder.write('it', b'y' * 20_000)\n"
        "except storage.StorageError as error: print(error)\n"
    )
    assert "20,000 bytes of space" in run_python(code, tmp_path / "disk")
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(storage.StorageError, match="denied") as caught:
            storage.open_folder(tmp_path).write("it", b"x")
        assert "ls -ld" in str(caught.value)
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    folder = storage.open_folder(tmp_path / "file")
    for call in (lambda: folder.write("it", b"x"), lambda: list(folder.list())):
        with pytest.raises(storage.StorageError, match="is a file, not a folder"):
            call()


def test_a_folder_where_an_object_should_be(tmp_path: Path) -> None:
    folder = storage.open_folder(tmp_path)
    folder.write("a/b", b"x")
    assert not folder.exists("a")
    for call in (lambda: folder.read("a"), lambda: folder.delete("a", missing_ok=False)):
        with pytest.raises(storage.NotFound):
            call()
    for condition in (None, storage.ABSENT):
        with pytest.raises(storage.StorageError, match="it is a folder"):
            folder.write("a", b"x", if_generation=condition)
    assert folder.read("a/b") == b"x"


def test_names_longer_than_the_disk_takes(tmp_path: Path) -> None:
    with pytest.raises(storage.StorageError, match="255"):
        storage.open_folder(tmp_path).write("x" * 300, b"")


def test_importing_is_quick_and_brings_no_client() -> None:
    code = (
        "import sys; from trainer import storage; storage.open_folder('runs/x')\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('google', 'requests', 'tenacity', 'numpy', 'tensorflow')])"
    )
    assert run_python(code).strip() == "[]"
