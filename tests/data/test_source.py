"""Folders and archives: everything in them is found, nothing outside of them is touched."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import tracemalloc
import zipfile

import pytest

from tests.data.pictures import noise, pictures, write_folder, write_tar, write_zip
from trainer.data import source_tfds
from trainer.data.decode import MAX_FILE_BYTES
from trainer.data.naming import is_licence, kind_of
from trainer.data.reading import read
from trainer.data.rejection import Rejected
from trainer.data.source import open_source
from trainer.errors import ConfigError, DataError


def items_of(address, tmp_path):
    return {item.name: item for item in open_source(str(address), tmp_path / "work").items()}


def contents_of(address, tmp_path):
    source = open_source(str(address), tmp_path / "work")
    if source.streams:
        names = {item.ref: item.name for item in source.items()}
        return {names[ref]: data for ref, data in source.stream(lambda ref: True)}
    return {item.name: read(item.ref) for item in source.items() if item.refusal is None}


@pytest.mark.parametrize("kind", ["folder", "zip", "stored zip", "tar", "tar.gz", "tar.xz"])
def test_every_kind_gives_the_same_files(tmp_path, kind):
    files = pictures(7)
    path = tmp_path / "source"
    if kind == "folder":
        write_folder(path, files)
    elif kind.endswith("zip"):
        write_zip(path, files, zipfile.ZIP_STORED if "stored" in kind else zipfile.ZIP_LZMA)
    else:
        write_tar(path, files, "w:" + kind.partition(".")[2])
    assert contents_of(path, tmp_path) == files


def test_odd_names_survive(tmp_path):
    names = ["Kätzchen (1).JPG", "a\nb.png", "猫.png", "#1.png", "-rf.png", "a'b\".png"]
    folder = write_folder(tmp_path / "source", {name: noise(0) for name in names})
    with open(os.fsencode(folder) + b"/\xff\xfe.png", "wb") as file:
        file.write(noise(1))
    found = contents_of(folder, tmp_path)
    assert set(names) < set(found)
    assert found["\\xff\\xfe.png"] == noise(1)


def test_links_in_a_folder_are_followed_once_and_pipes_are_not_opened(tmp_path):
    write_folder(tmp_path / "elsewhere", {"linked.png": noise(1)})
    folder = write_folder(tmp_path / "source", {"a.png": noise(0)})
    (folder / "one").symlink_to(tmp_path / "elsewhere")
    (folder / "two").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "gone.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe.png")
    items = items_of(folder, tmp_path)
    assert {name for name, item in items.items() if item.refusal is None} in (
        {"a.png", "one/linked.png"},
        {"a.png", "two/linked.png"},
    )
    assert items["pipe.png"].refusal == ("unreadable", "not a regular file")
    assert items["gone.png"].refusal is not None


UNSAFE = ["../escape.png", "/absolute.png", "a/../../up.png", "..\\windows.png", "C:\\x.png"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_that_lead_outside_are_labels_only(tmp_path, kind):
    files = {name: noise(k) for k, name in enumerate(UNSAFE)}
    inner = tmp_path / "inner"
    inner.mkdir()
    path = inner / "source"
    if kind == "zip":
        write_zip(path, files)
    else:
        write_tar(path, files, "w:" + kind.partition(".")[2])
    before = set(tmp_path.rglob("*"))
    found = contents_of(path, inner)
    assert sorted(found.values()) == sorted(files.values())
    assert all(".." not in name.split("/") and not name.startswith("/") for name in found)
    assert set(tmp_path.rglob("*")) == before


def test_links_and_devices_in_a_tar_are_refused(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(noise(9))
    path = tmp_path / "source.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in {
            "soft.png": tarfile.SYMTYPE,
            "hard.png": tarfile.LNKTYPE,
            "device.png": tarfile.CHRTYPE,
            "pipe.png": tarfile.FIFOTYPE,
        }.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(secret)
            archive.addfile(member)
    reasons = {name: item.refusal[0] for name, item in items_of(path, tmp_path).items()}
    assert reasons == {
        "soft.png": "link in an archive",
        "hard.png": "link in an archive",
        "device.png": "device in an archive",
        "pipe.png": "device in an archive",
    }


def test_links_and_encrypted_members_in_a_zip_are_refused(tmp_path):
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("locked.png", noise(0))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1
    path.write_bytes(data)
    items = items_of(path, tmp_path)
    assert items["link.png"].refusal[0] == "link in an archive"
    assert items["locked.png"].refusal[0] == "encrypted"


def test_a_zip_bomb_is_refused_by_its_directory_and_by_its_content(tmp_path):
    path = write_zip(tmp_path / "source.zip", {"bomb.png": bytes(2_000_000)})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (MAX_FILE_BYTES + 1).to_bytes(4, "little")
    path.write_bytes(data)
    assert items_of(path, tmp_path)["bomb.png"].refusal[0] == "file too large"
    # One that says it is small unpacks to no more than it says, and fails its checksum.
    data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(Rejected) as caught:
        read(items_of(path, tmp_path)["bomb.png"].ref)
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_of_another_method_is_not_unpacked_whole(tmp_path, method):
    """It says that it is small, and would be 256 MB."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("bomb.png", "w") as member:
        for _ in range(256):
            member.write(bytes(1 << 20))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    (item,) = items_of(path, tmp_path).values()
    tracemalloc.start()
    with pytest.raises(Rejected, match="damaged"):
        read(item.ref)
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_a_reason_not_an_end(tmp_path, method):
    path = write_zip(tmp_path / "source.zip", {"a.png": noise(0), "b.png": noise(1)}, method)
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    items = items_of(path, tmp_path)
    with pytest.raises(Rejected, match="damaged"):
        read(items["a.png"].ref)
    assert read(items["b.png"].ref) == noise(1)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("beyond", [100, 600, 1500])
def test_an_archive_cut_short_is_an_error_that_says_so(tmp_path, kind, beyond):
    files = pictures(9)
    path = tmp_path / f"source.{kind}"
    if kind == "zip":
        write_zip(path, files)
    else:
        write_tar(path, files, "w:" + kind.partition(".")[2])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + beyond])
    with pytest.raises(DataError, match=r"damaged|neither a zip nor a tar"):
        items_of(path, tmp_path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_damaged_header_is_no_end(tmp_path, kind):
    """Pictures behind it would be lost without a word."""
    plain = write_tar(tmp_path / "plain.tar", pictures(5), "w:")
    data = bytearray(plain.read_bytes())
    third = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"][2]
    data[third + 3] ^= 0xFF
    pack = {"tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
    path = tmp_path / f"source.{kind}"
    path.write_bytes(pack[kind](bytes(data)))
    with pytest.raises(DataError, match="damaged"):
        items_of(path, tmp_path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_the_checksum_of_a_compressed_archive_is_verified(tmp_path, kind):
    """It stands at the end, behind all members."""
    path = write_tar(tmp_path / f"source.tar.{kind}", pictures(5), f"w:{kind}")
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        items_of(path, tmp_path)


def test_a_member_of_negative_size_is_refused(tmp_path):
    """Its reader would stand still at it for ever."""
    path = tmp_path / "source.tar"
    files = [tarfile.TarInfo(name) for name in ("a.png", "b.png")]
    path.write_bytes(b"".join(member.tobuf() for member in files) + bytes(1024))
    data = bytearray(path.read_bytes())
    data[512 + 124 : 512 + 136] = b"\xff" * 10 + (-512 & 0xFFFF).to_bytes(2, "big")
    header = data[512:1024]
    header[148:156] = b" " * 8
    data[512 + 148 : 512 + 156] = f"{sum(header):06o}\0 ".encode()
    path.write_bytes(data)
    with pytest.raises(DataError, match="-512 bytes"):
        items_of(path, tmp_path)


def test_a_member_that_comes_twice_is_kept_apart(tmp_path):
    path = tmp_path / "source.tar"
    with tarfile.open(path, "w") as archive:
        for seed in (0, 1):
            member = tarfile.TarInfo("same.png")
            member.size = len(noise(seed))
            archive.addfile(member, io.BytesIO(noise(seed)))
    items = list(open_source(str(path), tmp_path).items())
    assert [read(item.ref) for item in items] == [noise(0), noise(1)]


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("nowhere", DataError, "there is no source at nowhere"),
        ("drawn:", ConfigError, "drawn:N"),
        ("drawn:0", ConfigError, "drawn:N"),
        ("drawn:-3", ConfigError, "drawn:N"),
        ("drawn:99999999", ConfigError, "N from 1 to"),
        ("drawn:ten", ConfigError, "write for example drawn:2000"),
        ("tfds:", ConfigError, "tfds:NAME"),
        ("tfds:mnist:", ConfigError, "tfds:NAME"),
        ("s3://bucket/cats", ConfigError, "download it and give the folder"),
        ("https://example.com/cats.zip", ConfigError, "download it and give the folder"),
        ("/dev/null", DataError, "neither a folder nor a file"),
    ],
)
def test_addresses_that_are_no_source(tmp_path, monkeypatch, address, error, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        open_source(address, tmp_path / "work")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("address", "split"),
    [
        ("cats_vs_dogs", None),
        ("cats_vs_dogs", "train"),
        ("cats_vs_dogs", "train[:50%]"),
        ("cats_vs_dogs", "train[:50%]+test[10%:20%]"),
        ("cats_vs_dogs:4.0.1", "train[100:]"),
        ("/data/cats", "train[:50%]"),
        ("/data/a:b/cats", None),
        ("/data/set[1]", "train"),
        ("gs://bucket/cats", "train[:50%]"),
        ("gs://bucket/cats", None),
    ],
)
def test_the_split_of_a_tfds_address(tmp_path, address, split):
    text = f"tfds:{address}" + (f":{split}" if split else "")
    assert source_tfds._parse(text) == (address, split or "all")
    assert open_source(text, tmp_path).address == f"tfds:{address}:{split or 'all'}"


def test_a_misspelt_folder_gets_the_closest_name(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match=r"did you mean .*/pictures"):
        open_source(str(tmp_path / "picturs"), tmp_path / "work")


def test_one_picture_is_not_a_source(tmp_path):
    write_folder(tmp_path, {"cat.png": noise(0)})
    with pytest.raises(DataError, match="give the folder that holds it"):
        open_source(str(tmp_path / "cat.png"), tmp_path / "work")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/b/cat.JPG", "picture"),
        ("cat.heic", "picture"),
        ("cat", "perhaps"),
        ("cat.v2", "perhaps"),
        ("cat.jpg.cat", "landmarks"),
        (".DS_Store", "side file"),
        ("a/.hidden/cat.jpg", "side file"),
        ("__MACOSX/cat.jpg", "side file"),
        ("LICENSE", "side file"),
        ("readme.txt", "side file"),
        ("Thumbs.db", "side file"),
        ("inner.zip", "side file"),
    ],
)
def test_what_names_say(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LICENSE", True),
        ("cats/licence.txt", True),
        ("COPYING.md", True),
        ("a/b/LICENSE", False),
        ("license.jpg", False),
        ("cats/License.PNG", False),
        ("readme.txt", False),
    ],
)
def test_which_files_state_a_licence(name, expected):
    assert is_licence(name) is expected
