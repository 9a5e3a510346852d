"""The config for bare pictures: found or made, told, written (`catgan train --pictures`).

Which settings are chosen for which pictures stands in `trainer.presets`.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from trainer import config as configs
from trainer import presets, storage
from trainer.config import Config
from trainer.data.shards import MANIFEST_NAME, read_manifest
from trainer.data.source import address_of
from trainer.data.survey import Survey, look
from trainer.errors import ConfigError
from trainer.presets import Preset

log = logging.getLogger("catgan")

_DECIDING = ("dataset.size_px", "dataset.crop")


@dataclass(frozen=True)
class Plan:
    """A config for bare pictures, and what to say about it.

    Attributes:
        config: What will be trained.
        path: Where the config is written, or was found.
        lines: What a person is told, in order.
        found: The config was there already, from an earlier start on these pictures.
    """

    config: Config
    path: Path
    lines: tuple[str, ...]
    found: bool

    def tell(self, *, dry_run: bool) -> None:
        """Says what was chosen, and where all of it stands or would stand."""
        for line in self.lines:
            log.info("%s", line)
        if not self.found:
            log.info("all settings %s %s", "would be in" if dry_run else "are in", self.path)

    def write(self) -> None:
        """Writes the config, unless it was there; raises StorageError."""
        if self.found:
            return
        place, name = storage.split_address(self.path)
        # Whole or not at all: a part of it would be taken for a config at the next start.
        storage.open_folder(place).write(name, _text(self.config, self.lines).encode())


def plan(
    pictures: str,
    *,
    run: str | None = None,
    crop: str | None = None,
    overrides: Sequence[str] = (),
    device: str,
) -> Plan:
    """Looks at pictures and works out a config for them. Writes nothing.

    Args:
        pictures: A folder, a zip or tar file, or gs://bucket/prefix.
        run: Address of the run folder; default `runs/NAME`.
        crop: How pictures become square; default `center`.
        overrides: `key=value` items; they hold against what is chosen.
        device: `CPU` or `GPU`.

    Raises:
        ConfigError: An address, a key or a value is at fault, or the run's config is that
            of other pictures.
        DataError: There are no pictures.
    """
    survey = look(pictures)
    address = storage.canonical(run or f"runs/{_name(survey.address)}")
    path = _config_path(address)
    if path.exists():
        return _found(path, survey, address, crop, overrides)
    chosen = Config().model_copy(update={"run": address})
    # These two decide the rest; the whole is checked once it is together.
    asked = {key: [item for item in overrides if item.startswith(f"{key}=")] for key in _DECIDING}
    dataset = configs.from_text("", [item for items in asked.values() for item in items]).dataset
    size_px = dataset.size_px if asked["dataset.size_px"] else 0
    crop = crop or dataset.crop
    preset = presets.decide(survey, device, crop=crop, size_px=size_px)
    items = [*_items(preset, survey, crop), *overrides]
    chosen = configs.override(chosen, items)
    return Plan(chosen, path, tuple(_lines(survey, chosen, preset, device)), False)


def _found(
    path: Path, survey: Survey, address: str, crop: str | None, overrides: Sequence[str]
) -> Plan:
    config = configs.load(path, [*overrides, *([f"dataset.crop={crop}"] if crop else [])])
    if config.dataset.source != survey.address or config.run != address:
        raise ConfigError(
            f"{path} is there already, for the pictures of {config.dataset.source or 'others'}",
            expected=f"no such file, or the one that was chosen for {survey.address}",
            remedy="give this run another address: --run runs/ANOTHER_NAME",
        )
    line = f"the settings chosen before for these {survey.count:,} pictures are used: {path}"
    return Plan(config, path, (line,), True)


def _name(address: str) -> str:
    stem = PurePosixPath(address.rstrip("/")).name.split(".")[0].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-") or "pictures"


def _config_path(address: str) -> Path:
    if storage.is_bucket(address):
        return Path("runs") / f"{_name(address)}.yaml"
    return Path(address + ".yaml")


def _items(preset: Preset, survey: Survey, crop: str) -> list[str]:
    suffix = "" if crop == "center" else f"-{crop}"
    name = f"datasets/{_name(survey.address)}-{preset.size_px}{suffix}"
    address = _of_its_own(storage.canonical(name), survey.address)
    every = min(500, max(100, 100 * round(preset.steps / 1000)))
    values: dict[str, Any] = {
        "dataset.address": address,
        "dataset.source": survey.address,
        "dataset.size_px": preset.size_px,
        "dataset.crop": crop,
        "dataset.val_fraction": preset.val_fraction,
        "training.steps": preset.steps,
        "training.global_batch": preset.global_batch,
        "checkpoint.every_steps": every,
        "samples.every_steps": every,
        **preset.recipe,
    }
    return [configs.setting(key, value) for key, value in values.items()]


def _of_its_own(address: str, source: str) -> str:
    """Returns the address, or another where the data set there was made from another source."""
    folder = storage.open_folder(address)
    if not folder.exists(MANIFEST_NAME):
        return address
    if read_manifest(folder).source.address == address_of(source):
        return address
    return f"{address}-{hashlib.sha256(source.encode()).hexdigest()[:6]}"


def _lines(survey: Survey, config: Config, preset: Preset, device: str) -> list[str]:
    size, training = config.dataset.size_px, config.training
    looked = "" if survey.looked_at == survey.count else f" ({survey.looked_at:,} looked at)"
    lines = [
        f"{survey.count:,} pictures in {survey.address}{looked}; the middle one measures "
        f"{survey.median_px} px on its shorter side",
        f"chosen for {'a GPU' if device == 'GPU' else 'the CPU'}: {size} px, crop "
        f"{config.dataset.crop}, {config.model.architecture} with {config.model.base_channels} "
        "channels beside the picture, "
        f"batch {training.global_batch}, {training.steps:,} steps "
        f"({training.steps * training.global_batch:,} pictures shown)",
    ]
    if preset.too_small:
        smaller = " (a smaller size: dataset.size_px=32)" if size > 32 else ""
        lines.append(
            f"about {preset.too_small:.0%} of the pictures are too small for {size} px and "
            f"will be left out{smaller}"
        )
    if survey.count < presets.FEW_PICTURES:
        lines.append(presets.expectation(survey.count))
    return lines


def _text(config: Config, lines: Sequence[str]) -> str:
    """Returns the config as YAML: comments, then the keys that differ from their defaults."""
    tree: dict[str, Any] = {}
    for key, (_, value) in configs.differences(Config(), config).items():
        *sections, last = key.split(".")
        below = tree
        for section in sections:
            below = below.setdefault(section, {})
        below[last] = value
    comments = "".join(f"# {line}\n" for line in lines)
    return (
        f"# Written by catgan train --pictures.\n{comments}"
        f"# Every key: catgan train --keys\n\n"
        + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    )
