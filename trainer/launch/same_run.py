"""Whether a config is that of a run that exists, and what may change on the way.

Owns design C1's answer to `train` on an existing run, and which keys a
resumption may not change. Reads the run's saved config; writes nothing.
"""

from typing import Any

from trainer import config as configs
from trainer.command_line import catgan
from trainer.config import Config
from trainer.errors import ConfigError
from trainer.launch.origin import NETWORK_KEYS, unpinned_like
from trainer.run_folder import RunFolder

# A run may be found at another address, and so may its data set if its pictures are the same.
_ADDRESSES = ("run", "dataset.address")
# What a start may not change: shapes of weights, order of the data, draws.
_FIXED_ON_RESUME = {
    "run": "it is the address that is resumed",
    "seed": "it decides every draw and the order of the pictures",
    "training.global_batch": "it decides the order of the pictures",
    "dataset.lanes": "it decides the order of the pictures",
    "dataset.source": "the pictures of a run stay the same",
    "dataset.crop": "the pictures of a run stay the same",
    "dataset.encoding": "the pictures of a run stay the same",
    "dataset.val_fraction": "the pictures of a run stay the same",
    "training.start_from": "it decides the first weights",
    **NETWORK_KEYS,
}


def refuse_changes(before: Config, after: Config) -> None:
    """Raises ConfigError where a resumption would change what a run is."""
    changed = configs.differences(before, after)
    for key, reason in _fixed(before, after).items():
        if key in changed:
            old, new = changed[key]
            raise ConfigError(
                f"{key} cannot change from {old!r} to {new!r} on resume: {reason}",
                expected="the same value as in the run's config.yaml",
                remedy="leave it out, or train a new run: "
                f"{catgan('train', 'CONFIG', configs.setting(key, new))} run=…",
            )


def _fixed(before: Config, after: Config) -> dict[str, str]:
    """Keys that a resumption may not change, and why."""
    if before.augment.is_adaptive == after.augment.is_adaptive:
        return _FIXED_ON_RESUME
    return {
        **_FIXED_ON_RESUME,
        "augment.strength": "an adaptive strength is part of every checkpoint",
    }


def same_config(config: Config, folder: RunFolder) -> Config:
    """Returns the run's own config if `config` is the same but for what was left open."""
    saved = configs.from_text(folder.read_config(), where=f"the config of {folder.address}")
    config, saved = (c.model_copy(update={"run": folder.address}) for c in (config, saved))
    changed = configs.differences(saved, _resolved_like(config, saved))
    keys = sorted(key for key in changed if key not in _ADDRESSES)
    if keys:
        shown = ", ".join(f"{k} ({changed[k][0]!r} there, {changed[k][1]!r} now)" for k in keys[:6])
        raise ConfigError(
            f"{folder.address} holds a run with another config: {shown}"
            + (f" and {len(keys) - 6} more keys" if len(keys) > 6 else ""),
            expected="the config of that run, which goes on with it",
            remedy=_go_on_or_begin(folder.address, keys, changed, _fixed(saved, config)),
        )
    update = {"address": config.dataset.address or saved.dataset.address}
    return saved.model_copy(update={"dataset": saved.dataset.model_copy(update=update)})


def _go_on_or_begin(
    address: str, keys: list[str], changed: dict[str, tuple[Any, Any]], fixed: dict[str, str]
) -> str:
    begin = "give the new run a folder of its own: run=…"
    reasons = [f"{key} makes it another run ({fixed[key]})" for key in keys if key in fixed]
    if reasons:
        as_it_is = catgan("resume", address)
        return f"{reasons[0]}: {begin}; or go on with that one as it is: {as_it_is}"
    overrides = [configs.setting(key, changed[key][1]) for key in keys]
    return f"go on with it: {catgan('resume', address, *overrides)}; or {begin}"


def _resolved_like(config: Config, saved: Config) -> Config:
    """Fills in what the saved config chose and this one leaves open."""
    dataset = config.dataset
    if not dataset.lanes:
        dataset = dataset.model_copy(update={"lanes": saved.dataset.lanes})
    precision = saved.precision if config.precision == "auto" else config.precision
    rollbacks = config.training.rollbacks or saved.training.rollbacks
    training = config.training.model_copy(update={"rollbacks": rollbacks})
    update = {"dataset": dataset, "precision": precision, "training": training}
    return unpinned_like(config.model_copy(update=update), saved)
