"""Addresses and names: one spelling each, and none leads out of its folder."""

import os
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.fakes.bucket_server import TEST_BUCKET, BucketServer
from trainer import storage
from trainer.errors import ConfigError

# What any object may be called in a bucket; single parts fit into every file system.
parts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=40
).filter(lambda part: part not in (".", "..") and not part.startswith(".catgan-tmp-"))
names = st.lists(parts, min_size=1, max_size=4).map("/".join)
buckets = st.from_regex(r"[a-z0-9][a-z0-9._-]{1,30}[a-z0-9]", fullmatch=True)


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("gs://cats-bucket", "gs://cats-bucket"),
        ("gs://cats-bucket/", "gs://cats-bucket"),
        ("gs://cats-bucket/runs/cats64/", "gs://cats-bucket/runs/cats64"),
        ("/runs/./x/../cats64/", "/runs/cats64"),
        ("~/runs", os.path.expanduser("~/runs")),
        (Path("/runs/cats64"), "/runs/cats64"),
    ],
)
def test_spelling(written: str | Path, spelled: str) -> None:
    assert storage.canonical(written) == spelled
    assert storage.open_folder(written).address == spelled


def test_relative_paths_are_of_the_working_folder() -> None:
    assert storage.open_folder("runs/x").address == str(Path.cwd() / "runs" / "x")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "   ",
        "\0",
        "gs://",
        "gs:///x",
        "gs://UPPER/x",
        "gs://a/x",
        "gs://cats bucket/x",
        "gs://cats-bucket//x",
        "gs://cats-bucket/a/../b",
        "gs:/cats-bucket/x",
        "GS://cats-bucket/x",
        "s3://cats-bucket/x",
        "file:///runs",
        "https://storage.googleapis.com/cats-bucket/x",
    ],
)
def test_malformed_addresses(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        storage.open_folder(address)
    assert caught.value.expected
    assert caught.value.remedy


@pytest.mark.parametrize("address", ["gs://cats-bucket", "gs://cats-bucket/", "/"])
def test_addresses_without_an_object(address: str) -> None:
    with pytest.raises(ConfigError, match="no object"):
        storage.split_address(address)


@given(bucket=buckets, folder=names, name=parts)
def test_joining_and_splitting_a_bucket_address(bucket: str, folder: str, name: str) -> None:
    whole = storage.join(f"gs://{bucket}", folder, name)
    assert storage.is_bucket(whole)
    assert storage.split_address(whole) == (f"gs://{bucket}/{folder}", name)
    assert storage.canonical(whole) == whole


@given(folder=names, name=parts)
def test_joining_and_splitting_a_path(folder: str, name: str) -> None:
    whole = storage.join("/root", folder, name)
    assert not storage.is_bucket(whole)
    assert storage.split_address(whole) == (f"/root/{folder}", name)
    assert storage.canonical(whole) == whole


@given(st.text())
@example("gs://bucket/\ud800")
@example("\ud800")
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        spelled = storage.open_folder(text).address
    except ConfigError:
        return
    assert storage.canonical(spelled) == spelled
    assert spelled.startswith(("/", "gs://"))


@given(st.text(max_size=60) | st.lists(st.sampled_from(["..", ".", "", "a"])).map("/".join))
def test_no_name_leads_out_of_its_folder(name: str) -> None:
    folder = storage.open_folder("/some/folder")
    try:
        path = folder.path(name)
    except (ConfigError, storage.NotFound):
        return
    assert path is not None
    assert Path("/some/folder") in Path(os.path.normpath(path)).parents


@settings(max_examples=30, deadline=None)
@given(name=names, content=st.binary(max_size=100))
def test_any_name_works_on_a_disk(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    assume(all(len(part.encode()) < 256 for part in name.split("/")))
    folder = storage.open_folder(tmp_path_factory.mktemp("names"))
    folder.write(name, content)
    assert folder.read(name) == content
    assert [entry.name for entry in folder.list()] == [name]


def test_any_name_works_in_a_bucket() -> None:
    with BucketServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        folder = storage.open_folder(f"gs://{TEST_BUCKET}/names")

        @settings(max_examples=30, deadline=None)
        @given(name=names, content=st.binary(max_size=100))
        def check(name: str, content: bytes) -> None:
            folder.write(name, content)
            assert folder.read(name) == content
            assert [entry.name for entry in folder.list()] == [name]
            folder.delete(name)

        check()


@pytest.mark.parametrize("name", ["line\nbreak", "return\rhere", "\udcff.png"])
@pytest.mark.usefixtures("bucket")
def test_names_that_only_a_disk_can_have(tmp_path: Path, name: str) -> None:
    on_disk = storage.open_folder(tmp_path)
    on_disk.write(name, b"x")
    assert [entry.name for entry in on_disk.list()] == [name]
    with pytest.raises(ConfigError, match="rename"):
        storage.open_folder(f"gs://{TEST_BUCKET}").write(name, b"x")
