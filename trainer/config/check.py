"""Checks that need more than one key. Pure; raises ConfigError."""

import math

from trainer.config.settings import Config
from trainer.errors import ConfigError, masked


def check(config: Config) -> Config:
    """Returns the config unchanged, or raises ConfigError for the first contradiction."""
    for rule in (_addresses, _networks, _batch, _updates, _norm, _loss, _augment):
        rule(config)
    return config


def _addresses(config: Config) -> None:
    """A config is copied into the run folder and into logs: no password may be in it."""
    addresses = {
        "run": config.run,
        "dataset.address": config.dataset.address,
        "dataset.source": config.dataset.source,
        "training.start_from": config.training.start_from,
    }
    for key, address in addresses.items():
        if masked(address) != address:
            raise ConfigError(
                f"{key} has a name or password in it: {address}",
                expected="an address alone; credentials come from the environment",
                remedy="leave out what stands before the @",
            )


def _networks(config: Config) -> None:
    model = config.model
    if model.upsampling != "transposed" and model.architecture != "dcgan":
        raise ConfigError(
            f"model.upsampling={model.upsampling} with model.architecture={model.architecture}",
            expected="dcgan: the other families double by a fixed filter anyway, or as in 2018",
            remedy="set model.architecture=dcgan, or leave model.upsampling out",
        )
    if model.architecture != "r3gan":
        return
    for key in ("generator_norm", "discriminator_norm"):
        if getattr(model, key) != "none":
            raise ConfigError(
                f"model.{key}={getattr(model, key)} with model.architecture=r3gan",
                expected="none: these blocks are begun so that they need no normalisation",
                remedy=f"set model.{key}=none",
            )
    if model.spectral_norm:
        raise ConfigError(
            "model.spectral_norm=true with model.architecture=r3gan",
            expected="gradient penalties in its place: its last kernels begin at zero",
            remedy="set model.spectral_norm=false",
        )
    widths = (model.base_channels * model.expansion, model.max_channels * model.expansion)
    if any(width % model.group_width for width in widths):
        raise ConfigError(
            f"model.group_width={model.group_width} does not divide {widths[0]} and {widths[1]}, "
            "the fewest and the most channels inside a block",
            expected="groups of the same width",
            remedy=f"set model.group_width={math.gcd(*widths, model.group_width)}",
        )


def _updates(config: Config) -> None:
    training, lanes = config.training, config.dataset.lanes or 1
    updates = training.discriminator_updates
    if updates == 1:
        return
    if training.update == "simultaneous" or training.micro_batch:
        key = "update=simultaneous" if training.update == "simultaneous" else "micro_batch"
        raise ConfigError(
            f"training.discriminator_updates={updates} with training.{key}",
            expected="alternating updates of a worker's whole share",
            remedy="leave one of them out; smaller updates also need less memory",
        )
    if training.global_batch % (updates * lanes):
        raise ConfigError(
            f"training.global_batch={training.global_batch} cannot be dealt to "
            f"{updates} updates of D" + (f" and {lanes} lanes" if lanes > 1 else ""),
            expected=f"a multiple of {updates * lanes}: each update has pictures of its own",
            remedy=f"set training.global_batch={updates * training.global_batch}",
        )


def _batch(config: Config) -> None:
    batch, micro, lanes = (
        config.training.global_batch,
        config.training.micro_batch,
        config.dataset.lanes,
    )
    if lanes and batch % lanes:
        good = next(n for n in range(min(lanes, batch), 0, -1) if batch % n == 0)
        raise ConfigError(
            f"dataset.lanes={lanes} does not divide training.global_batch={batch}",
            expected="lanes that divide the batch",
            remedy=f"set dataset.lanes={good}, or leave it at 0",
        )
    _workers(config)
    if micro > batch:
        raise ConfigError(
            f"training.micro_batch={micro} is larger than training.global_batch={batch}",
            expected="a part of the batch",
            remedy="set training.micro_batch=0 for the whole batch at once",
        )


def _workers(config: Config) -> None:
    most, batch, lanes = (
        config.cluster.max_workers,
        config.training.global_batch,
        config.dataset.lanes,
    )
    if most > batch:
        raise ConfigError(
            f"cluster.workers={most} is more than the pictures of a step, "
            f"training.global_batch={batch}",
            expected="at least one picture for each worker",
            remedy=f"set training.global_batch={most} or more",
        )
    if lanes and most > lanes:
        raise ConfigError(
            f"cluster.workers={most} is more than dataset.lanes={lanes}, and a worker reads "
            "whole lanes",
            expected="at least one lane for each worker",
            remedy=f"set cluster.workers={lanes} or less; for a new run also dataset.lanes=0",
        )


def _norm(config: Config) -> None:
    model = config.model
    if config.training.micro_batch and model.has_batch_norm:
        raise ConfigError(
            f"training.micro_batch={config.training.micro_batch} with batch norm: statistics of "
            "a part of the batch are not those of the batch",
            expected="networks without batch norm, or the whole batch at once",
            remedy="set training.micro_batch=0, or model.generator_norm=none "
            "model.discriminator_norm=none with model.architecture=dcgan or resnet",
        )

    d_has_norm = model.discriminator_has_batch_norm
    if config.cluster.max_workers > 1 and d_has_norm and config.loss.has_penalty:
        raise ConfigError(
            "gradient penalties with batch norm in the discriminator and cluster.workers="
            f"{config.cluster.max_workers}: the second derivative does not cross workers, so the "
            "run would not be that of one worker",
            expected="no batch norm in the discriminator, no penalties, or one worker",
            remedy="set model.discriminator_norm=none, or loss.r1_weight=0 loss.r2_weight=0 "
            "loss.gradient_penalty_weight=0",
        )


def _loss(config: Config) -> None:
    if config.loss.label_smoothing and config.loss.name != "non_saturating":
        raise ConfigError(
            f"loss.label_smoothing={config.loss.label_smoothing} has no meaning with "
            f"loss.name={config.loss.name}",
            expected="smoothing with loss.name=non_saturating only",
            remedy="set loss.label_smoothing=0",
        )
    if config.loss.name == "wasserstein":
        _bounded(config)
    if config.loss.name == "relativistic_average" and config.training.micro_batch:
        raise ConfigError(
            f"training.micro_batch={config.training.micro_batch} with "
            "loss.name=relativistic_average, which compares with the mean of the whole batch",
            expected="the whole batch at once, or a loss of single pictures or pairs",
            remedy="set training.micro_batch=0, or loss.name=relativistic_pairing",
        )


def _bounded(config: Config) -> None:
    if not config.loss.has_penalty and not config.model.spectral_norm:
        raise ConfigError(
            "loss.name=wasserstein with nothing that bounds the discriminator, whose loss has no "
            "least value",
            expected="a gradient penalty or spectral normalisation",
            remedy="set loss.gradient_penalty_weight=10 and loss.penalty_every_steps=1, or leave "
            "loss.r1_weight at 1",
        )


def _augment(config: Config) -> None:
    if not config.augment.is_adaptive:
        return
    if not config.augment.kinds:
        raise ConfigError(
            "augment.strength=adaptive with no augmentation at all",
            expected="transformations whose strength can be adapted",
            remedy="set augment.kinds=[colour, translation, cutout], or leave out augment.strength",
        )
    if config.loss.name in ("wasserstein", "relativistic_average", "relativistic_pairing"):
        raise ConfigError(
            f"augment.strength=adaptive with loss.name={config.loss.name}, whose discriminator has "
            "no zero: the sign of its logits says nothing",
            expected="loss.name=non_saturating, hinge or least_squares; or a strength that follows "
            "the pictures seen",
            remedy="set a ramp such as augment.strength='0 to 0.3 over 1000000', or "
            "loss.name=non_saturating",
        )
