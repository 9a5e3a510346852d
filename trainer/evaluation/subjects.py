"""Whose pictures are judged: a generator's, a folder's, or those of another data set.

Owns telling them apart by what is at an address, and which pictures the first n are. Every
picture is 8-bit RGB of one size: what is judged is what a person would see in a file.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import drawing, shipped, storage
from trainer.data.decode import decode
from trainer.data.rejection import Rejected
from trainer.data.shards import MANIFEST_NAME
from trainer.errors import DataError
from trainer.evaluation.real import open_set
from trainer.gan import sampling
from trainer.run_folder import names, split_run_address
from trainer.seeds import permutation

_PURPOSE = "judged pictures"
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
# What `generate` and `evaluate` write beside single pictures.
_SHEETS = re.compile(r"(grid|interpolation(-\d+)?|nearest)\.png")


@dataclass(frozen=True)
class Subject:
    """Pictures to judge.

    Attributes:
        origin: Address of what they come from.
        about: What else decides which pictures they are, for the provenance.
        size_px: Height and width.
        most: How many there are; None: as many as one likes.
        pictures: `(begin, end)` to uint8 `[end - begin, H, W, 3]`.
    """

    origin: str
    about: dict[str, Any]
    size_px: int
    most: int | None
    pictures: Callable[[int, int], np.ndarray]


def open_subject(address: str, *, seed: int = 0, cache_dir: str = "") -> Subject:
    """Opens a run, a checkpoint, a `.keras` file, a data set, or a folder of pictures.

    Args:
        address: Folder or bucket.
        seed: Of a generator's first picture; the others count up.
        cache_dir: For shards of a bucket; empty: the user's cache folder.

    Raises:
        CheckpointError, DataError: Nothing of the kind is there, or it is damaged.
        StorageError: It cannot be reached.
    """
    address = shipped.resolved(str(address).rstrip("/"))
    run, step = split_run_address(address)
    folder = storage.open_folder(run)
    if step is not None or str(address).endswith(".keras") or folder.exists(names.RECORD):
        return _generated(address, seed)
    if folder.exists(MANIFEST_NAME):
        return _data_set(address, cache_dir)
    return _folder(folder)


def _generated(address: str, seed: int) -> Subject:
    generator = drawing.open_generator(address)

    def pictures(begin: int, end: int) -> np.ndarray:
        seeds = range(seed + begin, seed + end)
        latents = sampling.latents_from_seeds(seeds, generator.latent_dim, generator.distribution)
        return generator.pictures(latents, [sampling.slot_of(seed) for seed in seeds])

    size_px = pictures(0, 1).shape[1]
    return Subject(generator.origin, {"kind": "generator", "seed": seed}, size_px, None, pictures)


def _data_set(address: str, cache_dir: str) -> Subject:
    dataset = open_set(address, cache_dir)
    numbers = permutation(dataset.train_count, 0, f"{_PURPOSE}:{dataset.fingerprint}")
    about = {"kind": "data set", "fingerprint": dataset.fingerprint, "split": "train"}
    return Subject(
        dataset.address,
        about,
        dataset.size_px,
        dataset.train_count,
        lambda begin, end: dataset.pictures("train", numbers[begin:end]),
    )


def _folder(folder: storage.Folder) -> Subject:
    """Pictures of files, in a fixed shuffle: neighbours by name may be alike."""
    listed = (entry.name for entry in folder.list())
    found = sorted(n for n in listed if n.lower().endswith(_ENDINGS) and not _SHEETS.fullmatch(n))
    if not found:
        raise DataError(
            f"there is no run, data set or picture at {folder.address}",
            expected=f"a run, a checkpoint, a data set, or files like {', '.join(_ENDINGS[:3])}",
            remedy="check the address",
        )
    order = permutation(len(found), 0, _PURPOSE)
    shuffled = [found[place] for place in order]
    size_px = _decoded(folder, shuffled[0]).shape[0]

    def pictures(begin: int, end: int) -> np.ndarray:
        return np.stack([_fitting(folder, name, size_px) for name in shuffled[begin:end]])

    about = {"kind": "folder", "files": len(found)}
    return Subject(folder.address, about, size_px, len(found), pictures)


def _decoded(folder: storage.Folder, name: str) -> np.ndarray:
    try:
        return np.asarray(decode(folder.read(name)))
    except Rejected as error:
        raise DataError(
            f"{folder.address_of(name)} cannot be read: {error}",
            expected="whole pictures only: one left out would change what is measured",
            remedy="mend or remove it",
        ) from error


def _fitting(folder: storage.Folder, name: str, size_px: int) -> np.ndarray:
    picture = _decoded(folder, name)
    if picture.shape[:2] != (size_px, size_px):
        height, width = picture.shape[:2]
        raise DataError(
            f"{folder.address_of(name)} is {width}×{height} px",
            expected=f"{size_px}×{size_px} px, as the others",
            remedy=f"catgan prepare {folder.address} NEW --size {size_px}, and judge that data set",
        )
    return picture
