"""Where a new run's first weights come from, if not from chance: another run's checkpoint.

Owns pinning `training.start_from` to one checkpoint, refusing networks that do not fit, and
what the run's record says of it. The weights themselves are loaded by `trainer.worker`; once
the run has a checkpoint of its own, the other run is not asked again.
"""

from typing import Any

from trainer import checkpoint, storage
from trainer import config as configs
from trainer.checkpoint.networks import config_of
from trainer.config import Config
from trainer.errors import ConfigError
from trainer.run_folder import RunRecord, split_run_address

_SHAPES, _WEIGHTS = "it decides the shapes of the weights", "it decides which weights there are"
_LEARNED = "the networks have learned this one"
NETWORK_KEYS = {
    "dataset.size_px": _SHAPES,
    "model.architecture": _SHAPES,
    "model.base_channels": _SHAPES,
    "model.max_channels": _SHAPES,
    "model.blocks": _SHAPES,
    "model.expansion": _SHAPES,
    "model.group_width": _SHAPES,
    "model.upsampling": _SHAPES,
    "model.latent_dim": _SHAPES,
    "model.latent_distribution": _LEARNED,
    "model.generator_norm": _WEIGHTS,
    "model.discriminator_norm": _WEIGHTS,
    "model.spectral_norm": _WEIGHTS,
    "model.picture_scale": _LEARNED,
}
"""Keys that must be the same where weights are taken over, and why."""


def pinned(config: Config) -> Config:
    """Returns the config with `training.start_from` naming one checkpoint: the newest now.

    Raises:
        CheckpointError: There is none.
        StorageError: It cannot be reached.
    """
    address = config.training.start_from
    if not address:
        return config
    address = storage.canonical(address)
    if split_run_address(address)[1] is None:
        address = checkpoint.open_address(address).address
    training = config.training.model_copy(update={"start_from": address})
    return config.model_copy(update={"training": training})


def told(config: Config, record: RunRecord | None) -> dict[str, Any]:
    """Returns what the run's record says of its origin; empty: the weights were drawn.

    Args:
        config: Pinned.
        record: Of the run, if it exists: what it says stands, and nothing is read.

    Raises:
        ConfigError: The other run's networks are not those of this config.
        CheckpointError: The checkpoint is gone or damaged.
    """
    if record is not None:
        return dict(record.origin)
    if not config.training.start_from:
        return {}
    found = checkpoint.open_address(config.training.start_from)
    _refuse_other_networks(config, found)
    return {
        "address": found.address,
        "step": found.step,
        "images_seen": found.images_seen,
        "parts_sha256": found.parts_sha256,
        "fingerprint": found.meta.get("fingerprint", ""),
    }


def _refuse_other_networks(config: Config, found: checkpoint.Checkpoint) -> None:
    changed = configs.differences(config_of(found), config)
    differs = {key: changed[key] for key in NETWORK_KEYS if key in changed}
    if differs:
        shown = ", ".join(
            f"{k} is {old!r} there, {new!r} here" for k, (old, new) in differs.items()
        )
        right = " ".join(configs.setting(key, old) for key, (old, _) in differs.items())
        raise ConfigError(
            f"training.start_from={found.address} has other networks: {shown}",
            expected="the same networks, whose weights can be taken over",
            remedy=f"set {right}",
        )


def unpinned_like(config: Config, saved: Config) -> Config:
    """Fills in the checkpoint that a saved config was pinned to, if `config` names its run."""
    asked, kept = config.training.start_from, saved.training.start_from
    if not asked or not kept or split_run_address(asked)[1] is not None:
        return config
    if storage.canonical(asked) != split_run_address(kept)[0]:
        return config
    training = config.training.model_copy(update={"start_from": kept})
    return config.model_copy(update={"training": training})
