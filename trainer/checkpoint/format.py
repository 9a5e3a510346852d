"""What a checkpoint looks like: safetensors parts and one manifest.

Owns the manifest's shape, the names of parts, how tensors are dealt to parts, and
their bytes in both directions. Does no I/O and does not know when a checkpoint
counts (`rule`). There is no pickle anywhere.

Parts are serialised here and not by `safetensors.numpy.save`, which holds Python's
global lock for as long as it copies, and training stands still meanwhile. They are
read by `safetensors`, so the two check each other.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from trainer.errors import CheckpointError

FORMAT = "catgan-checkpoint"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
PART_BYTES = 32 * 1024 * 1024
"""Most tensor bytes of a part; a larger tensor gets a part of its own."""

_CHUNK_BYTES = 4 * 1024 * 1024
_PART_NAME = re.compile(r"start-([0-9]{4,9})-part-([0-9]{4,9})-of-([0-9]{4,9})\.safetensors")
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


class TensorEntry(BaseModel):
    """One tensor: its shape, its NumPy dtype and the part that holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: str
    part: str


class PartEntry(BaseModel):
    """One part: its name, size and SHA-256 in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{_PART_NAME.pattern}$")
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What `manifest.json` holds.

    Attributes:
        format: Always `catgan-checkpoint`.
        format_version: Of this layout; others are refused.
        step: Finished steps.
        images_seen: Real pictures shown to the discriminator.
        start: Number of the start that wrote it.
        tensors: By name.
        parts: All parts, in order.
        meta: What the writer wants kept beside the tensors (seed, fingerprint, config, ...).
        adopted_by: Numbers of the starts that went on from here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["catgan-checkpoint"] = "catgan-checkpoint"
    format_version: int = FORMAT_VERSION
    step: int = Field(ge=0)
    images_seen: int = Field(ge=0)
    start: int = Field(ge=1)
    tensors: dict[str, TensorEntry]
    parts: tuple[PartEntry, ...]
    meta: dict[str, Any] = Field(default_factory=dict)
    adopted_by: tuple[int, ...] = ()

    def to_json(self) -> bytes:
        """Returns the manifest as indented JSON in UTF-8, ending in a newline."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def size_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.size_bytes for part in self.parts)


def part_name(start: int, part: int, of: int) -> str:
    """Returns `start-0003-part-0001-of-0004.safetensors` (parts are counted from 1)."""
    return f"start-{start:04d}-part-{part:04d}-of-{of:04d}.safetensors"


def parse_part_name(name: str) -> int | None:
    """Returns the number of the start in a part's name, or None for another name."""
    match = _PART_NAME.fullmatch(name)
    return int(match[1]) if match else None


def read_manifest(data: bytes, address: str) -> Manifest:
    """Reads the bytes of a manifest.

    Args:
        data: Content of the file.
        address: Where it came from, for messages.

    Raises:
        CheckpointError: Not JSON, not a checkpoint's manifest, of another format version,
            or at odds with itself.
    """
    try:
        raw = json.loads(data)
        version = raw.get("format_version") if isinstance(raw, dict) else None
        if isinstance(raw, dict) and raw.get("format") == FORMAT and version != FORMAT_VERSION:
            raise _unreadable(
                address,
                f"has format version {version!r}",
                "read it with the version of catgan that wrote it",
            )
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"]) or "the whole"
        raise _unreadable(address, f"is no manifest ({where}: {first['msg']})") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(address, f"is not JSON ({error})") from error
    _check_inside(manifest, address)
    return manifest


def _check_inside(manifest: Manifest, address: str) -> None:
    names = [part.name for part in manifest.parts]
    if len(set(names)) != len(names):
        raise _unreadable(address, "names a part twice")
    for name, tensor in manifest.tensors.items():
        if tensor.part not in names:
            raise _unreadable(
                address, f"puts {name!r} into {tensor.part!r}, which it does not list"
            )
        if tensor.dtype not in _DTYPES:
            raise _unreadable(address, f"gives {name!r} the dtype {tensor.dtype!r}")


def _unreadable(address: str, what: str, remedy: str = "") -> CheckpointError:
    return CheckpointError(
        f"{address} {what}",
        expected=f"the manifest of a checkpoint, format version {FORMAT_VERSION}",
        remedy=remedy or "take another checkpoint; `catgan inspect RUN` lists those that are whole",
    )


def check_state(state: Mapping[str, np.ndarray]) -> None:
    """Refuses what a checkpoint cannot hold, before anything is written.

    Raises:
        CheckpointError: A value is no array, or its dtype is not a plain number or bool.
    """
    for name, array in state.items():
        dtype = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        if dtype not in _DTYPES or not name or name == "__metadata__":
            raise CheckpointError(
                f"the tensor {name!r} is of type {dtype}, which a checkpoint cannot hold",
                expected=f"a NumPy array of one of {', '.join(_DTYPES)}",
                remedy="convert it before it is saved (bfloat16 weights are kept as float32)",
            )


def deal(state: Mapping[str, np.ndarray], part_bytes: int = PART_BYTES) -> list[list[str]]:
    """Deals tensors to parts in the order of their names.

    Args:
        state: Arrays by name.
        part_bytes: Most tensor bytes of a part, but for a single larger tensor.

    Returns:
        The names in each part; at least one part, which may be empty.
    """
    parts: list[list[str]] = [[]]
    filled = 0
    for name in sorted(state):
        size_bytes = state[name].nbytes
        if parts[-1] and filled + size_bytes > part_bytes:
            parts.append([])
            filled = 0
        parts[-1].append(name)
        filled += size_bytes
    return parts


def serialise(tensors: Mapping[str, np.ndarray]) -> tuple[memoryview, str]:
    """Returns one part as safetensors bytes, and their SHA-256 in hex.

    Copies in chunks, so that Python's global lock is never held for long.

    Args:
        tensors: Arrays by name, as `check_state` allows them; any layout and byte order.
    """
    # Widest first, as the library does it: each tensor is then aligned to its items.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    end = 0
    for name in names:
        array = tensors[name]
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    # np.empty touches no memory: the pages are faulted in by the copies, outside the lock.
    buffer = np.empty(len(head) + end, np.uint8)
    buffer[: len(head)] = np.frombuffer(head, np.uint8)
    digest = hashlib.sha256(head)
    filled = len(head)
    for name in names:
        for chunk in _chunks(tensors[name]):
            place = buffer[filled : filled + chunk.size]
            np.copyto(place, chunk)
            digest.update(place.data)
            filled += chunk.size
    return buffer.data, digest.hexdigest()


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yields an array's little-endian bytes in row order, a few MiB at a time."""
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    raw = little.reshape(-1).view(np.uint8)
    for begin in range(0, raw.size, _CHUNK_BYTES):
        yield raw[begin : begin + _CHUNK_BYTES]


def deserialise(
    data: bytes, part: PartEntry, tensors: Mapping[str, TensorEntry], address: str
) -> dict[str, np.ndarray]:
    """Verifies one part against its manifest and returns its tensors.

    Args:
        data: Content of the part.
        part: What the manifest says of it.
        tensors: The tensors that the manifest puts into this part.
        address: Where it came from, for messages.

    Raises:
        CheckpointError: Its size, checksum or tensors differ from what the manifest says.
    """
    if len(data) != part.size_bytes:
        raise damaged(address, f"has {len(data)} bytes, its manifest says {part.size_bytes}")
    found = hashlib.sha256(data).hexdigest()
    if found != part.sha256:
        raise damaged(address, f"has SHA-256 {found[:12]}…, its manifest says {part.sha256[:12]}…")
    try:
        arrays = safetensors.numpy.load(bytes(data))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged(address, f"is no safetensors file ({error})") from error
    said = {name: (entry.shape, entry.dtype) for name, entry in tensors.items()}
    held = {name: (array.shape, array.dtype.name) for name, array in arrays.items()}
    if said != held:
        odd = sorted(n for n in said.keys() | held.keys() if said.get(n) != held.get(n))
        raise damaged(
            address,
            f"holds {odd[0]!r} as {held.get(odd[0])}, its manifest says {said.get(odd[0])}",
        )
    return arrays


def damaged(address: str, what: str) -> CheckpointError:
    """Returns the error of a checkpoint that does not match its manifest."""
    return CheckpointError(
        f"{address} {what}",
        expected="the bytes that were written, whole and unchanged",
        remedy="take another checkpoint; `catgan inspect RUN` lists those that are whole",
    )
