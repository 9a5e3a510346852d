"""The config at an address: a file, or an object of a bucket, as a run's own may be."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trainer import config as configs
from trainer import storage
from trainer.config import Config
from trainer.config.load import decoded
from trainer.errors import ConfigError


def load(address: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a config, applies `key.sub=value` overrides, checks it.

    `run` and `dataset.address` default to `runs/NAME` and `datasets/NAME`,
    where NAME is the file's name without its ending.

    Raises:
        ConfigError: There is none, or it is bad YAML, or a key or value is at fault.
        StorageError: The bucket cannot be read.
    """
    if not storage.is_bucket(str(address)):
        return configs.load(address, overrides)
    place, name = storage.split_address(address)
    try:
        raw = storage.open_folder(place).read(name)
    except storage.NotFound:
        raise ConfigError(
            f"there is no config at {address}",
            expected="the address of a YAML file",
            remedy="check the address; a run's own is RUN/config.yaml",
        ) from None
    text, stem = decoded(raw, str(address)), PurePosixPath(name).stem
    return configs.from_text(text, overrides, name=stem, where=str(address))
