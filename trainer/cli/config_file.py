"""The config that a person names on the command line.

Owns what is said where something else stands in its place; reading and checking it is
`trainer.config`'s.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainer.command_line import catgan
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from trainer.config import Config


def load_config(path: str, overrides: list[str]) -> "Config":
    """Reads the config a person named to the command that runs; raises ConfigError.

    Args:
        path: What stands where a config is asked for.
        overrides: `key=value` items.
    """
    from trainer import config_address

    command = click.get_current_context().info_name or "train"
    if "=" in path and not Path(path).exists():
        raise ConfigError(
            f"{path!r} stands where the config's path was expected",
            expected="the config first, then overrides",
            remedy=catgan(command, "configs/debug.yaml", path),
        )
    if Path(path).is_dir():
        raise ConfigError(
            f"{path} is a folder, not a config",
            expected="a YAML file",
            remedy=_for_a_folder(command, path),
        )
    return config_address.load(path, overrides)


def _for_a_folder(command: str, path: str) -> str:
    """What may have been meant by it; `train` and `resume` take a folder, the others do not."""
    from trainer.config import setting

    if command == "train":
        pictures, run = catgan(command, "--pictures", path), catgan("resume", path)
    else:
        pictures = catgan(command, "configs/cats64.yaml", setting("dataset.source", path))
        run = catgan(command, Path(path) / "config.yaml")
    return f"for a folder of pictures: {pictures}; for a run: {run}"
