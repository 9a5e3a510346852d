"""The data set on disk: manifest, shard names, record format.

Owns `manifest.json` and the names of the files in a DATASET. Does not know
where pictures come from (`prepare.py`), what a record looks like inside
(`records.py`; its functions can be imported from here too), nor in which order
records are read (`order.py`, `stream.py`).
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainer.command_line import catgan
from trainer.data.records import frame, read_example, read_frames, write_example
from trainer.errors import DataError

__all__ = [
    "Counts",
    "Manifest",
    "Resize",
    "Shard",
    "SourceInfo",
    "fingerprint",
    "frame",
    "parse_manifest",
    "read_example",
    "read_frames",
    "read_manifest",
    "shard_name",
    "write_example",
]

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
REJECTED_NAME = "rejected.jsonl"
ATTRIBUTES_NAME = "attributes.jsonl"
MAX_SHARD_BYTES = 8_000_000
MIN_SIZE_PX, MAX_SIZE_PX = 8, 1024

Split = Literal["train", "validation"]
Encoding = Literal["png", "jpeg", "raw"]
SPLITS: tuple[Split, ...] = ("train", "validation")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Shard(_Frozen):
    """One TFRecord file.

    Attributes:
        name: File name inside the data set.
        split: `train` or `validation`.
        records: Pictures in it, at least 1.
        bytes: Size of the file.
        sha256: Hex digest of the file.
    """

    name: str = Field(pattern=r"^[a-z]+-\d{5,}-of-\d{5,}\.tfrecord$")
    split: Split
    records: int = Field(ge=1)
    bytes: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Resize(_Frozen):
    """How pictures were brought to size: the filter's name and who applied it."""

    filter: str
    library: str


class SourceInfo(_Frozen):
    """Where the pictures came from.

    Attributes:
        address: SOURCE as it was given, made absolute.
        licence: What the source itself says about its licence, else None.
        listing: Digest over names and sizes of the source's files, where it has such.
        stamp: Of a source whose files are not listed cheaply, see `trainer.data.items.Source`.
    """

    address: str
    licence: str | None = None
    listing: str | None = None
    stamp: str | None = None


class Counts(_Frozen):
    """What became of the source's files.

    Attributes:
        train: Pictures in the training split.
        validation: Pictures in the validation split.
        rejected: Files listed in `rejected.jsonl`, for any reason.
        not_pictures: Side files that were passed over.
        reasons: How many files were rejected for each reason.
    """

    train: int = Field(ge=1)
    validation: int = Field(ge=0)
    rejected: int = Field(default=0, ge=0)
    not_pictures: int = Field(default=0, ge=0)
    reasons: dict[str, int] = {}


class Manifest(_Frozen):
    """What a data set holds; the last file that `prepare` writes.

    Attributes:
        size_px: Height and width of every picture.
        encoding: How `image` is stored in a record: `png`, `jpeg` or `raw`
            (`raw`: size_px * size_px * 3 bytes, rows first, RGB).
        options: The options `prepare` ran with, by name.
        decoding: How awkward pictures were turned into RGB, by name.
        fingerprint: Hash over what determines the pictures and their places.
    """

    format: Literal["catgan-dataset"] = "catgan-dataset"
    format_version: int = FORMAT_VERSION
    size_px: int = Field(ge=MIN_SIZE_PX, le=MAX_SIZE_PX)
    channels: Literal[3] = 3
    encoding: Encoding
    resize: Resize
    crop: str
    decoding: dict[str, Any] = {}
    source: SourceInfo
    options: dict[str, Any] = {}
    versions: dict[str, str] = {}
    counts: Counts
    shards: tuple[Shard, ...] = Field(min_length=1)
    fingerprint: str

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Manifest":
        for split in SPLITS:
            shards = self.split(split)
            found, said = sum(s.records for s in shards), getattr(self.counts, split)
            if found != said:
                raise ValueError(f"counts.{split} is {said} but its shards hold {found} records")
            for index, shard in enumerate(shards):
                if shard.name != shard_name(split, index, len(shards)):
                    raise ValueError(f"shard {index} of {split} is called {shard.name!r}")
        expected = fingerprint(self.size_px, self.encoding, self.shards)
        if self.fingerprint != expected:
            raise ValueError(f"fingerprint is {self.fingerprint!r}, its shards give {expected!r}")
        return self

    def split(self, name: str) -> list[Shard]:
        """Returns the shards of one split, in order."""
        return [shard for shard in self.shards if shard.split == name]

    def to_json(self) -> bytes:
        """Returns the text of `manifest.json`."""
        return (json.dumps(self.model_dump(), indent=1, ensure_ascii=False) + "\n").encode()


def fingerprint(size_px: int, encoding: str, shards: Iterable[Shard]) -> str:
    """Returns a hash over everything that determines the pictures and their places.

    Source, options and versions stay out: equal shards are equal pictures,
    wherever they were made.
    """
    parts = [[s.name, s.split, s.records, s.sha256] for s in shards]
    text = json.dumps([FORMAT_VERSION, size_px, encoding, parts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def shard_name(split: str, index: int, count: int) -> str:
    """Returns e.g. `train-00000-of-00016.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def read_manifest(folder) -> Manifest:
    """Reads and checks the manifest of a data set.

    Args:
        folder: A `trainer.storage` folder.

    Raises:
        DataError: There is none, it is damaged, or a newer program wrote it.
    """
    from trainer import storage

    try:
        data = folder.read(MANIFEST_NAME)
    except storage.NotFound as error:
        raise DataError(
            f"there is no data set at {folder.address}: it has no {MANIFEST_NAME}",
            expected="a folder or gs:// prefix that 'catgan prepare' has finished",
            remedy=catgan("prepare", "SOURCE", folder.address),
        ) from error
    return parse_manifest(data, folder.address)


def damage_remedy(folder: Any) -> str:
    """What to do about a shard that is not as the manifest says."""
    return (
        f"run `{catgan('prepare', 'SOURCE', folder.address)}` again with the same source and "
        "options, which makes anew what is not whole, or copy the file again from where it is "
        f"(`{catgan('inspect', folder.address)}` names all that are not); then the same command "
        "goes on from the last checkpoint"
    )


def checked_manifest(folder) -> Manifest:
    """Reads the manifest and looks whether every shard is there, before a run begins on it.

    One listing; content is verified when a shard is read.

    Raises:
        DataError: There is no data set, or a shard is missing or of another size.
    """
    manifest = read_manifest(folder)
    found = {entry.name: entry.size_bytes for entry in folder.list()}
    bad = [shard.name for shard in manifest.shards if found.get(shard.name) != shard.bytes]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(manifest.shards)} shards of {folder.address} are missing or "
            f"cut short, the first is {bad[0]}",
            expected="every shard as its manifest describes it",
            remedy=damage_remedy(folder),
        )
    return manifest


def parse_manifest(data: bytes, address: str = "") -> Manifest:
    """Returns the manifest in `data`, checked; raises DataError as `read_manifest` does."""
    where = f"{address}/{MANIFEST_NAME}" if address else MANIFEST_NAME
    try:
        fields = json.loads(data)
        if not isinstance(fields, dict):
            raise ValueError(f"it holds {type(fields).__name__}, not an object")
        _refuse_foreign(fields, where)
        return Manifest.model_validate(fields)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where} cannot be used: {_first_problem(error)}",
            expected="the file as 'catgan prepare' wrote it",
            remedy="prepare the data set again, to another address",
        ) from error


def _refuse_foreign(fields: dict[str, Any], where: str) -> None:
    if fields.get("format") != "catgan-dataset":
        raise DataError(
            f"{where} is not the manifest of a catgan data set",
            expected='"format": "catgan-dataset"',
            remedy="give the address of a folder that 'catgan prepare' wrote",
        )
    version = fields.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise DataError(
            f"{where} has format version {version}",
            expected=f"at most {FORMAT_VERSION}",
            remedy="update catgan, or prepare the data set again with this one",
        )


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    return str(error) or type(error).__name__
