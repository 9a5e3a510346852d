"""Whether the data set that is there is the one that a config means."""

from typing import Any

from trainer import storage
from trainer.command_line import catgan
from trainer.config.settings import DatasetSettings
from trainer.data.shards import Manifest
from trainer.data.source import address_of
from trainer.errors import DataError

# What a config says of how its pictures are prepared, as the manifest calls it too.
PREPARED_BY = ("size_px", "crop", "encoding", "val_fraction")


def refuse_misfit(manifest: Manifest, settings: DatasetSettings, *, is_new: bool) -> None:
    """Raises DataError where the pictures are not those that a config means.

    Args:
        manifest: Of the data set at the config's address.
        settings: What the config says of it.
        is_new: The run has not begun. Later starts go by the data set's fingerprint, wherever its
            source may be by then.
    """
    if manifest.size_px != settings.size_px:
        raise DataError(
            f"the data set {settings.address} has pictures of {manifest.size_px} px, the config "
            f"says dataset.size_px={settings.size_px}",
            expected="the same size",
            remedy=f"set dataset.size_px={manifest.size_px}, or prepare the pictures at "
            f"{settings.size_px} px into another data set",
        )
    if is_new and settings.source:
        _refuse_other_source(manifest, settings)


def _refuse_other_source(manifest: Manifest, settings: DatasetSettings) -> None:
    wanted, found = _said(settings), manifest.options | {"source": manifest.source.address}
    other = {key: found.get(key) for key, value in wanted.items() if found.get(key) != value}
    if not other:
        return
    keeps = [
        "dataset.source=" if key == "source" else f"dataset.{key}={value}"
        for key, value in other.items()
    ]
    told = "; ".join(
        f"its {key} is {value}, the config says dataset.{key}={wanted[key]}"
        for key, value in other.items()
    )
    raise DataError(
        f"the data set {storage.canonical(settings.address)} is there already and was prepared "
        f"otherwise: {told}",
        expected="a data set of these pictures, or none yet",
        remedy=f"to train on what it holds, set {' '.join(keeps)}; to have these pictures prepared "
        f"beside it, set dataset.address={settings.address.rstrip('/')}-2; what is where: "
        f"{catgan('inspect', settings.address)}",
    )


def _said(settings: DatasetSettings) -> dict[str, Any]:
    said = {key: getattr(settings, key) for key in PREPARED_BY}
    return said | {"source": address_of(settings.source)}
