"""The Inception network of 2015-12-05, by whose features published FIDs are measured.

Owns where its file is found and how its frozen graph is run by TensorFlow: from the pictures
before its own resize to 299 px, to the 2,048 numbers of `pool_3` (Heusel et al. 2017 and their
code; other Inceptions and other resizers give other distances: Parmar et al. 2022).
"""

import hashlib
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from trainer import storage
from trainer.errors import ConfigError, DataError
from trainer.storage.user_cache import user_cache_folder

SHA256 = "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6"
WIDTH = 2048
FILE = "classify_image_graph_def.pb"
ADDRESS = "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
_SECS = 60
_INPUT, _OUTPUT = "ExpandDims:0", "pool_3:0"


def kept_file() -> Path:
    """Where a downloaded file is kept."""
    return user_cache_folder() / "features" / FILE


def here() -> bool:
    """Says whether it was downloaded before."""
    return kept_file().is_file()


def load(path: str = "") -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns float32 `[n, H, W, 3]` in 0..255 to features `[n, 2048]`.

    Args:
        path: The file, of a bucket too; empty: the one that is kept, downloaded if it is not
            there.

    Raises:
        ConfigError: It is not there, and cannot be downloaded.
        DataError: It is another file.
        StorageError: It cannot be read, or not be kept.
    """
    data = _data(path) if path else _kept()
    graph = tf.compat.v1.GraphDef.FromString(data)

    def imported() -> None:
        tf.compat.v1.import_graph_def(graph, name="")

    wrapped = tf.compat.v1.wrap_function(imported, [])
    pruned = wrapped.prune(_INPUT, _OUTPUT)
    return lambda pictures: tf.reshape(pruned(pictures), [-1, WIDTH])


def _data(path: str) -> bytes:
    folder, name = storage.split_address(path)
    try:
        data = storage.open_folder(folder).read(name)
    except storage.NotFound as error:
        raise ConfigError(
            f"{path} is not there",
            expected=f"{FILE} of {ADDRESS}",
            remedy="check the path, or leave it out to download the file: --features inception",
        ) from error
    return _checked(data, path)


def _checked(data: bytes, where: str) -> bytes:
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise DataError(
            f"{where} has SHA-256 {digest[:12]}… and is not the Inception of 2015-12-05",
            expected=f"{SHA256[:12]}…: with other weights a distance is no FID",
            remedy=f"take {FILE} out of {ADDRESS}",
        )
    return data


def _kept() -> bytes:
    kept = kept_file()
    if not here():
        storage.open_folder(kept.parent).write(kept.name, _downloaded())
    return _data(str(kept))


def _downloaded() -> bytes:
    try:
        with (
            urllib.request.urlopen(ADDRESS, timeout=_SECS) as answer,
            tarfile.open(fileobj=answer, mode="r|gz") as archive,
        ):
            for member in archive:
                found = archive.extractfile(member)
                if found is not None and member.name.removeprefix("./") == FILE:
                    return _checked(found.read(), ADDRESS)
    except (OSError, urllib.error.URLError, tarfile.TarError) as error:
        raise ConfigError(
            f"the Inception of 2015 cannot be downloaded: {error}",
            expected=f"an answer of {ADDRESS}",
            remedy=f"give it as a file, --features inception:{FILE}, or name another network: "
            "--features efficientnet-lite0",
        ) from error
    raise DataError(
        f"{ADDRESS} holds no {FILE}",
        expected="the archive of 2015-12-05",
        remedy=f"give the file itself, --features inception:{FILE}, or name another network",
    )
