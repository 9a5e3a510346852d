"""What Ray does to its storage, done to a bucket that fails, with and without Ray."""

import pickle
import threading

import pyarrow
import pyarrow.fs
import pytest
from ray.train.v2._internal.execution.storage import StorageContext, delete_fs_path

from tests.fakes.fixtures import Bucket
from trainer import storage
from trainer.errors import ConfigError, StorageError
from trainer.launch.ray_storage import ray_storage

START = "start-0003"


@pytest.fixture
def run_address(bucket: Bucket) -> str:
    return f"{bucket.address}/runs/cats"


@pytest.fixture
def place(run_address: str) -> tuple[str, pyarrow.fs.FileSystem]:
    path, filesystem = ray_storage(run_address)
    assert filesystem is not None
    return path, filesystem


def write(filesystem: pyarrow.fs.FileSystem, path: str, content: bytes = b"x") -> None:
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def names_below(address: str) -> list[str]:
    return [entry.name for entry in storage.open_folder(address).list()]


def test_a_folder_on_disk_needs_no_file_system(tmp_path):
    assert ray_storage(str(tmp_path / "run")) == (str(tmp_path / "run/ray"), None)


def test_a_malformed_address_is_refused():
    with pytest.raises(ConfigError, match="cannot exist"):
        ray_storage("gs://A/run")


def test_all_that_ray_train_does_to_its_storage(bucket, run_address, place, tmp_path):
    path, filesystem = place
    context = StorageContext(path, START, filesystem)  # writes and looks for its marker
    snapshot = context.checkpoint_manager_snapshot_path
    write(filesystem, snapshot, b"{}")
    write(filesystem, snapshot, b'{"longer": 1}')
    with filesystem.open_input_stream(snapshot) as stream:
        assert stream.read() == b'{"longer": 1}'
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "pointer.json").write_text("{}")
    (tmp_path / "top").write_bytes(bytes(300_000))
    checkpoint_path = f"{path}/{START}/checkpoint_1"
    filesystem.create_dir(checkpoint_path)
    pyarrow.fs.copy_files(str(tmp_path), checkpoint_path, destination_filesystem=filesystem)
    assert names_below(f"{run_address}/ray/{START}") == [
        ".validate_storage_marker",
        "checkpoint_1/deep/pointer.json",
        "checkpoint_1/top",
        "checkpoint_manager_snapshot.json",
    ]
    back = tmp_path / "back"
    pyarrow.fs.copy_files(checkpoint_path, str(back), source_filesystem=filesystem)
    assert (back / "top").stat().st_size == 300_000
    delete_fs_path(filesystem, checkpoint_path)
    assert filesystem.get_file_info(checkpoint_path).type == pyarrow.fs.FileType.NotFound
    assert len(names_below(run_address)) == 2, "nothing but what Ray wrote is there"


FAULTS = [
    {"kind": "status", "status": 503, "every": 3},
    {"kind": "status", "status": 429, "every": 4},
    {"kind": "reset", "every": 3},
    {"kind": "lose_answer", "every": 3},
    {"kind": "cut", "every": 2},
    {"kind": "flip", "every": 2},
    {"kind": "flip_request", "every": 2, "operations": ("insert",)},
    {"kind": "stall", "secs": 2.0, "every": 7},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["kind"])
def test_a_bucket_that_fails_is_not_noticed(bucket, place, monkeypatch, fault):
    if fault["kind"] == "stall":
        monkeypatch.setenv("CATGAN_STORAGE_TIMEOUT_SECS", "0.5")  # less than it stalls
    options = dict(fault)
    bucket.faults.add(options.pop("kind"), **options)
    path, filesystem = place
    StorageContext(path, START, filesystem)
    for round_ in range(3):
        for name in ("a", "b/c"):
            write(filesystem, f"{path}/{START}/{name}", b"content %d" % round_)
            with filesystem.open_input_file(f"{path}/{START}/{name}") as stream:
                assert stream.read() == b"content %d" % round_
    found = filesystem.get_file_info(pyarrow.fs.FileSelector(f"{path}/{START}", recursive=True))
    assert sorted(info.base_name for info in found) == [".validate_storage_marker", "a", "b", "c"]
    filesystem.delete_dir(f"{path}/{START}/b")
    filesystem.delete_file(f"{path}/{START}/a")
    assert filesystem.get_file_info(f"{path}/{START}/a").type == pyarrow.fs.FileType.NotFound
    assert any(rule["fired"] for rule in bucket.faults.report()["rules"])


def test_a_bucket_that_stays_away_is_our_own_error(bucket, place, monkeypatch):
    monkeypatch.setenv("CATGAN_STORAGE_DEADLINE_SECS", "0.3")
    bucket.faults.add("status", status=503)
    path, filesystem = place
    with pytest.raises(StorageError, match="runs/cats/ray/start-0003/a"):
        write(filesystem, f"{path}/{START}/a")
    with pytest.raises(StorageError, match="runs/cats/ray"):
        filesystem.get_file_info(f"{path}/{START}/a")


def test_only_the_rights_to_objects_below_the_run_are_needed(bucket, place):
    bucket.faults.add("status", status=403, operations=("bucket", "buckets", "make_bucket"))
    path, filesystem = place
    StorageContext(path, START, filesystem)
    written = bucket.server.store.names("test-bucket", lambda name: True)
    assert written == [f"runs/cats/ray/{START}/.validate_storage_marker"]


def test_nothing_outside_is_reached(run_address, place):
    path, filesystem = place
    checkpoint = "test-bucket/runs/cats/checkpoints/step-000000010"
    storage.open_folder(run_address).write("checkpoints/step-000000010/manifest.json", b"{}")
    for act in (
        filesystem.delete_dir,
        filesystem.delete_dir_contents,
        filesystem.get_file_info,
        filesystem.create_dir,
    ):
        with pytest.raises(PermissionError, match="only test-bucket/runs/cats/ray belongs to Ray"):
            act(checkpoint)
    for outside in (f"{checkpoint}/manifest.json", f"{path}-other/file", "test-bucket"):
        with pytest.raises(PermissionError, match="belongs to Ray"):
            filesystem.delete_file(outside)
        with pytest.raises(PermissionError, match="belongs to Ray"):
            write(filesystem, outside)
    with pytest.raises(ConfigError, match="cannot be a name"):
        filesystem.delete_file(f"{path}/../checkpoints/step-000000010/manifest.json")
    with pytest.raises(PermissionError):
        filesystem.delete_dir(path)
    assert names_below(run_address) == ["checkpoints/step-000000010/manifest.json"]


def test_what_is_not_there_is_said_as_pyarrow_wants_it(place):
    path, filesystem = place
    absent = f"{path}/absent"
    for act in (
        filesystem.open_input_stream,
        filesystem.open_input_file,
        filesystem.delete_file,
        filesystem.delete_dir,
    ):
        with pytest.raises(FileNotFoundError, match="absent"):
            act(absent)
    with pytest.raises(FileNotFoundError):
        filesystem.get_file_info(pyarrow.fs.FileSelector(absent))
    assert filesystem.get_file_info(pyarrow.fs.FileSelector(absent, allow_not_found=True)) == []
    filesystem.delete_dir_contents(absent, missing_dir_ok=True)
    with pytest.raises(NotImplementedError):
        filesystem.open_append_stream(absent)


def test_files_are_copied_and_moved(place):
    path, filesystem = place
    write(filesystem, f"{path}/a", b"content")
    filesystem.copy_file(f"{path}/a", f"{path}/b")
    filesystem.move(f"{path}/a", f"{path}/c")
    found = filesystem.get_file_info(pyarrow.fs.FileSelector(path))
    assert [(info.base_name, info.size) for info in found] == [("b", 7), ("c", 7)]


def test_it_is_the_same_after_pickling(run_address, place):
    path, filesystem = place
    again = pickle.loads(pickle.dumps(filesystem))
    assert again == filesystem
    assert again.type_name == "py::catgan"
    assert ray_storage(run_address)[1] == filesystem
    assert ray_storage(f"{run_address}-2")[1] != filesystem
    write(again, f"{path}/a")
    assert filesystem.get_file_info(f"{path}/a").is_file


def test_many_threads_at_once(place):
    path, filesystem = place
    threads = [
        threading.Thread(target=write, args=(filesystem, f"{path}/{number}", b"%d" % number))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(20):
        with filesystem.open_input_stream(f"{path}/{number}") as stream:
            assert stream.read() == b"%d" % number
