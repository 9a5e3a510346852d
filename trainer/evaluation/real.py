"""Features of a data set's pictures, measured once and kept beside it.

Owns which pictures a count means (always the first of one fixed shuffle of the split, so that
a larger count only adds to a smaller one) and the files that keep their features. A data set
that may not be written to gets its file in the user's cache folder.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from trainer import storage
from trainer.data.shards import Split
from trainer.data.stream import Dataset, open_dataset
from trainer.errors import StorageError
from trainer.evaluation.networks import FeatureNetwork
from trainer.seeds import permutation
from trainer.storage.user_cache import user_cache_folder

log = logging.getLogger("catgan.evaluation")

FOLDER = "features"
_PURPOSE = "evaluated pictures"
_CACHE_MIB = 4096
_PART = 1024

# Told how many of how many pictures are measured.
Progress = Callable[[int, int], None]


def open_set(address: str, cache_dir: str = "") -> Dataset:
    """Opens a data set to look at single pictures of it; see `trainer.data.stream`.

    Args:
        address: Folder or bucket.
        cache_dir: For shards of a bucket; empty: the user's cache folder.
    """
    return open_dataset(address, cache_mib=_CACHE_MIB, memory_mib=0, cache_dir=cache_dir)


@dataclass
class RealFeatures:
    """One split of a data set, as one network sees it.

    Attributes:
        dataset: Open.
        split: `train` or `validation`.
        network: Measures.
        progress: Told while pictures are measured, not when they were kept.
    """

    dataset: Dataset
    split: Split
    network: FeatureNetwork
    progress: Progress = lambda done, total: None
    _rows: np.ndarray | None = field(default=None, repr=False)

    @property
    def count(self) -> int:
        """Pictures in the split."""
        return int(getattr(self.dataset.manifest.counts, self.split))

    def numbers(self, count: int) -> np.ndarray:
        """Returns int64 `[count]`: the pictures' numbers in the split, in our order."""
        return permutation(self.count, 0, f"{_PURPOSE}:{self.dataset.fingerprint}")[:count]

    def first(self, count: int) -> np.ndarray:
        """Returns features float32 `[count, width]` of the first pictures of the shuffle."""
        if self._rows is None:
            self._rows = self._kept()
        if len(self._rows) < count:
            more = self._measured(len(self._rows), count)
            self._rows = np.concatenate([self._rows, more])
            self._keep(self._rows)
        return self._rows[:count]

    def _measured(self, begin: int, end: int) -> np.ndarray:
        numbers = self.numbers(end)[begin:]
        rows = np.empty((len(numbers), self.network.width), np.float32)
        # In the order of the shards, so that each is read about once.
        order = np.argsort(numbers)
        for start in range(0, len(order), _PART):
            places = order[start : start + _PART]
            rows[places] = self.network.features(self.dataset.pictures(self.split, numbers[places]))
            self.progress(begin + start + len(places), end)
        return rows

    @property
    def _name(self) -> str:
        network, pictures = self.network, self.dataset.fingerprint[:12]
        known = re.sub(r"[^A-Za-z0-9.@-]", "-", network.name)
        return f"{known}-{network.weights_sha256[:8]}-{self.split}-{pictures}.safetensors"

    def _folders(self) -> list[storage.Folder]:
        beside = storage.open_folder(storage.join(self.dataset.address, FOLDER))
        return [beside, storage.open_folder(user_cache_folder() / FOLDER)]

    def _kept(self) -> np.ndarray:
        longest = np.empty((0, self.network.width), np.float32)
        for folder in self._folders():
            try:
                rows = load(folder.read(self._name))["features"]
            except (StorageError, SafetensorError, KeyError):
                continue
            fits = rows.dtype == np.float32 and rows.shape[1:] == longest.shape[1:]
            if fits and len(rows) > len(longest):
                longest = rows[: self.count]
        return longest

    def _keep(self, rows: np.ndarray) -> None:
        data = save({"features": rows})
        for folder in self._folders():
            try:
                folder.write(self._name, data)
                return
            except StorageError as error:
                log.debug("features are not kept in %s: %s", folder.address, error.what)
