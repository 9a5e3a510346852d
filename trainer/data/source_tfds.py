"""Pictures of a TensorFlow data set: `tfds:NAME[:split]` or `tfds:/path[:split]`.

Owns finding the picture feature, and which data sets hold more than cats.
Everything here imports tensorflow-datasets late: it takes seconds.
"""

import contextlib
import difflib
import hashlib
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trainer import console, quiet, storage
from trainer.data.items import Item, Ref, Source
from trainer.data.tfds_files import INFO_NAME
from trainer.data.workplace import copies_folder
from trainer.errors import CatganError, ConfigError, DataError

CATS_ONLY = {"cats_vs_dogs": ("label", "cat"), "oxford_iiit_pet": ("species", "cat")}
"""Feature and class (lower case) of the cats, where a data set holds others too."""

# A split may have colons in brackets: train[:50%]+test[10%:20%].
_PLACE_AND_SPLIT = re.compile(r"(.*?):([^:/\[\]]*(?:\[[^/\[\]]*\][^:/\[\]]*)*)", re.DOTALL)
_REACH_SECS = 10.0
_PREPARED_HINT = "prepare it on a machine that can, and give its folder: tfds:/path/to/it"


class TfdsSource(Source):
    """One or all splits of a data set, by name or already prepared in a folder or bucket."""

    streams = True
    lists_cheaply = False

    def __init__(self, text: str, work: Path) -> None:
        self._place, self._split = _parse(text)
        self._work = work
        place = storage.canonical(self._place) if _is_path(self._place) else self._place
        self.address = f"tfds:{place}:{self._split}"
        self._loaded: Any = None

    def items(self) -> Iterator[Item]:
        """Yields the pictures, and only the cats where the data set says which they are."""
        for name, data in self._pictures():
            stamp = f"{len(data)}:{zlib.crc32(data):08x}"
            yield Item(name, ("stream", name), len(data), stamp)

    def stream(self, wanted: Callable[[Ref], bool]) -> Iterator[tuple[Ref, bytes]]:
        """Yields the wanted pictures as they were encoded in the data set."""
        for name, data in self._pictures():
            ref = ("stream", name)
            if wanted(ref):
                yield ref, data

    def _pictures(self) -> Iterator[tuple[str, bytes]]:
        tfds = _tfds()
        builder = self._builder()
        picture = _picture_feature(builder, self.address)
        keep = _cat_filter(builder)
        try:
            records = builder.as_dataset(
                split=self._split,
                decoders={picture: tfds.decode.SkipDecoding()},
                read_config=tfds.ReadConfig(add_tfds_id=True),
            )
        except (ValueError, KeyError, AssertionError) as error:
            raise DataError(
                f"{self.address} cannot be opened: {_first_line(error)}",
                expected=f"a split out of: {', '.join(builder.info.splits)}",
                remedy="correct what follows the last colon, or leave it away for all",
            ) from error
        for record in self._records(records):
            if keep(record):
                yield record["tfds_id"].decode(), record[picture]

    def _records(self, records: Any) -> Iterator[dict[str, Any]]:
        import tensorflow as tf

        try:
            yield from records.as_numpy_iterator()
        except tf.errors.OpError as error:
            raise DataError(
                f"{self.address} cannot be read to its end: {_first_line(error)}",
                expected="records as tensorflow-datasets wrote them",
                remedy="prepare that data set again, or copy it again from where it is whole",
            ) from error

    def _builder(self) -> Any:
        if self._loaded is None:
            place = self._place
            self._loaded = self._from_folder(place) if _is_path(place) else _by_name(place)
            info = self._loaded.info.redistribution_info
            self.licence = getattr(info, "license", "") or None
        return self._loaded

    def _from_folder(self, place: str) -> Any:
        tfds = _tfds()
        folder = self._fetched(place) if storage.is_bucket(place) else Path(place).expanduser()
        found = sorted(path.parent for path in folder.glob(f"**/{INFO_NAME}"))
        if len(found) != 1:
            raise DataError(
                f"{place} holds {len(found) or 'no'} prepared data sets",
                expected=f"one folder with {INFO_NAME}, as tensorflow-datasets prepares it",
                remedy="give the folder of the version: tfds:/path/name/1.0.0",
            )
        try:
            return tfds.builder_from_directory(found[0])
        except Exception as error:  # whatever a damaged description makes it stumble on
            raise DataError(
                f"{found[0]} cannot be opened: {_first_line(error)}",
                remedy="prepare that data set again",
            ) from error

    def _fetched(self, place: str) -> Path:
        """Copies a prepared data set here: TensorFlow's own door to buckets has no retries."""
        folder = storage.open_folder(place)
        entries = list(folder.list())
        versions = sorted((entry.name, entry.generation.value) for entry in entries)
        stamp = hashlib.sha256(repr(versions).encode()).hexdigest()[:16]
        target = copies_folder(self._work, stamp)
        for entry in entries:
            if not storage.is_name(entry.name):
                continue
            path = target / entry.name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                folder.download(entry.name, path)
        return target


def _parse(text: str) -> tuple[str, str]:
    rest = text.removeprefix("tfds:")
    match = _PLACE_AND_SPLIT.fullmatch(rest)
    place, split = match.groups() if match else (rest, "all")
    if not place or not split:
        raise ConfigError(
            f"{text!r} is not a source",
            expected="tfds:NAME, tfds:NAME:split, or tfds:/path of a prepared data set",
            remedy="write for example tfds:cats_vs_dogs",
        )
    return place, split


def _is_path(place: str) -> bool:
    return place.startswith(("/", ".", "~")) or storage.is_bucket(place)


def _tfds() -> Any:
    """Imports tensorflow-datasets without what TensorFlow says when it wakes up."""
    quiet.import_tensorflow()
    with console.silenced_stderr():
        import tensorflow_datasets
    return tensorflow_datasets


def _by_name(name: str) -> Any:
    tfds = _tfds()
    try:
        # It tells of its download on standard output, which is for our answer.
        with contextlib.redirect_stdout(sys.stderr):
            builder = tfds.builder(name)
            _must_reach_downloads(builder)
            builder.download_and_prepare()
        return builder
    except CatganError:
        raise
    except tfds.core.DatasetNotFoundError as error:
        close = difflib.get_close_matches(name, tfds.list_builders(), n=3)
        raise DataError(
            f"tensorflow-datasets knows no data set {name!r}",
            expected=f"for example {', '.join(close) or 'cats_vs_dogs'}",
            remedy="correct the name, or give the folder of a prepared one: tfds:/path/to/it",
        ) from error
    except Exception as error:  # the network, a full disk, a changed checksum, a missing package
        raise DataError(
            f"tfds:{name} cannot be downloaded: {_first_line(error)}",
            expected="a network, or the data set in tensorflow-datasets' own folder",
            remedy=_PREPARED_HINT,
        ) from error


def _must_reach_downloads(builder: Any) -> None:
    """Asks each host of a data set for a sign of life, where it has to be downloaded.

    tensorflow-datasets itself goes on trying for minutes, ten times with growing pauses.
    Nothing is asked where something was downloaded before: it may be this.

    Raises:
        DataError: A host does not answer.
    """
    import requests

    if builder.data_path.exists() or any(_downloads(builder)):
        return
    urls = {urlsplit(url).netloc: url for url in builder.url_infos or () if url.startswith("http")}
    for host, url in urls.items():
        try:
            requests.head(url, timeout=_REACH_SECS, allow_redirects=False)
        except requests.RequestException as error:
            raise DataError(
                f"tfds:{builder.name} cannot be downloaded: {host} does not answer within "
                f"{_REACH_SECS:.0f} s ({_first_line(error)})",
                expected="a network, or the data set in tensorflow-datasets' own folder",
                remedy=_PREPARED_HINT,
            ) from error


def _downloads(builder: Any) -> Iterator[Path]:
    """Yields what tensorflow-datasets has downloaded so far, of any data set."""
    folder = Path(builder.data_dir_root) / "downloads"
    return folder.iterdir() if folder.is_dir() else iter(())


def _picture_feature(builder: Any, address: str) -> str:
    tfds = _tfds()
    features = builder.info.features
    names = [n for n, f in features.items() if type(f) is tfds.features.Image]
    if not names:
        raise DataError(
            f"{address} has no pictures",
            expected="a feature of the kind Image",
            remedy=f"choose another data set; this one has {', '.join(features)}",
        )
    return "image" if "image" in names else names[0]


def _cat_filter(builder: Any) -> Callable[[dict[str, Any]], bool]:
    if builder.name not in CATS_ONLY:
        return lambda record: True
    feature, wanted = CATS_ONLY[builder.name]
    names = [name.lower() for name in builder.info.features[feature].names]
    number = names.index(wanted)
    return lambda record: int(record[feature]) == number


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
