"""Rebuilds one step of a run: what went into it, and what D said to each picture.

Owns the way to the step (the checkpoint before it, trained again in a scratch run) and what is
looked at there. D is asked as it stood before the step. The files are `trainer.report.step_page`'s.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import storage
from trainer.config import Config
from trainer.errors import ConfigError
from trainer.launch import again
from trainer.run_folder import RunFolder, read_metrics

if TYPE_CHECKING:
    from trainer.gan.gan import GAN

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Half:
    """One kind of pictures in a step.

    Attributes:
        images: float32 `[n, H, W, 3]` in the networks' range, as the step begins with them.
        augmented: The same as D sees them.
        logits: float64 `[n]`, D's before the step.
        gradient_norms: float64 `[n]`, of each logit at its picture (what R1 and R2 punish).
    """

    images: np.ndarray
    augmented: np.ndarray
    logits: np.ndarray
    gradient_norms: np.ndarray


@dataclass(frozen=True)
class Replay:
    """A step.

    Attributes:
        run: Address.
        step: Its number, counted from 1.
        from_step: Of the checkpoint that it was rebuilt from; 0: from nothing.
        images_seen: Pictures seen after it.
        scale: Pictures are in [-scale, scale].
        latents: float32 `[n, latent_dim]`.
        real, fake: See `Half`.
        figures: Losses and penalties of the step, done once more.
        noted: The same of the run's own row of that step; empty: it has none.
    """

    run: str
    step: int
    from_step: int
    images_seen: int
    scale: float
    latents: np.ndarray
    real: Half
    fake: Half
    figures: dict[str, float]
    noted: dict[str, float]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all arrays by name, as they stand in the `.npz`."""
        told = {"latents": self.latents}
        for kind, half in (("real", self.real), ("fake", self.fake)):
            told |= {
                f"{kind}_images": half.images,
                f"{kind}_augmented": half.augmented,
                f"{kind}_logits": half.logits,
                f"{kind}_gradient_norms": half.gradient_norms,
            }
        return told


def replay(
    address: str,
    step: int,
    *,
    overrides: tuple[str, ...] = (),
    dataset: str = "",
    scratch: str = "",
) -> Replay:
    """Rebuilds a step.

    Args:
        address: Of the run; only read.
        step: Counted from 1.
        overrides: Keys that were different then, such as `training.rollbacks=0`.
        dataset: Where the pictures are; empty: where they were.
        scratch: Beginning of the scratch run's address; empty: `replay` in this folder.

    Raises:
        ConfigError: The run has no such step.
        CheckpointError: There is no run, or a checkpoint is damaged.
        CatganError: The steps before it cannot be trained: see `trainer.worker.run`.
    """
    run = RunFolder(storage.open_folder(address))
    saved = again.saved_steps(run)
    config = _config(run, step, overrides, dataset)
    first = max((at for at in saved if at < step), default=0)
    log.info("rebuilding step %s of %s from %s", f"{step:,}", run.address, f"{first:,}")
    last = min((at for at in saved if at >= step), default=run.must_have_record().step)
    for start in again.starts_between(run.must_have_record(), first, last):
        log.warning(
            "start %d went on from step %s, whose checkpoint is not kept: settings of before may "
            "have been others, which can be given",
            start.number,
            f"{start.first_step:,}",
        )
    with again.scratch_run(scratch or "replay") as place:
        gan = _at(run, config, first, step - 1, place)
    found = _looked_at(gan, config, step)
    noted = next((row for row in read_metrics(run) if row["step"] == step), {})
    return Replay(
        run.address,
        step,
        first,
        step * config.training.global_batch,
        config.model.picture_scale,
        **found,
        noted={name: noted[name] for name in found["figures"] if noted.get(name) is not None},
    )


def _config(run: RunFolder, step: int, overrides: tuple[str, ...], dataset: str) -> Config:
    from trainer import config as configs

    config = configs.override(again.config_until(run, step), overrides)
    if not 1 <= step <= config.training.steps:
        raise ConfigError(
            f"step {step:,} of {run.address}",
            expected=f"a step from 1 to {config.training.steps:,}",
            remedy=f"--step {min(max(step, 1), config.training.steps)}",
        )
    if dataset:
        pictures = config.dataset.model_copy(update={"address": dataset})
        config = config.model_copy(update={"dataset": pictures})
    return config


def _at(run: RunFolder, config: Config, first: int, last: int, scratch: RunFolder) -> "GAN":
    """Returns the model as it stands after `last` steps."""
    from trainer import checkpoint
    from trainer.gan.build import build_gan

    jit = bool(run.must_have_record().choices.get("jit"))
    if last > first:
        again.train_again(run, config, first, last, scratch)
        run, first = scratch, last
    # Traced as training was: an eager step rounds otherwise.
    gan = build_gan(config, jit=jit)
    if first:
        gan.load_state(checkpoint.open_step(run, first).load(), first)
    elif config.training.start_from:
        from trainer.gan.state import NETWORKS, write_networks

        origin = checkpoint.open_address(config.training.start_from, NETWORKS)
        write_networks(gan, origin.load(NETWORKS))
    return gan


def _looked_at(gan: "GAN", config: Config, step: int) -> dict[str, Any]:
    """Looks into the step that follows, then does it."""
    import tensorflow as tf

    from trainer.gan import spectral
    from trainer.gan.values import values_at

    images, number = next(iter(_batches(config, step - 1))), tf.constant(step - 1, tf.int64)
    before = gan.state()
    # A step begins with it, so that D's kernels are those that the step divides.
    spectral.iterate(gan.discriminator, gan.distribution.local)
    inputs = gan.inputs
    real, latents = inputs.real_images(images, number), inputs.latents(number)
    rows = inputs.rows(number)
    strength = gan.adaptive.strength if gan.adaptive else None
    values = values_at(config, number, tf.as_dtype(gan.discriminator.output.dtype), strength)
    fake = _drawn(gan, latents)
    found = {
        "latents": np.asarray(latents, np.float32),
        "real": _half(gan, real, rows.augment_real, values.augment_strength),
        "fake": _half(gan, fake, rows.augment_fake, values.augment_strength),
    }
    gan.load_state(before, step - 1)
    logs = gan.runner().run(iter([images]), step - 1, 1)
    return {**found, "figures": {name: float(value) for name, value in logs.items()}}


def _batches(config: Config, finished: int) -> Any:
    """The pictures of the steps after so many finished ones, as training gets them."""
    from trainer.launch.starting import open_dataset

    dataset = open_dataset(config)
    return dataset.batches(
        seed=config.step_seed,
        global_batch=config.training.global_batch,
        lanes=config.dataset.lanes,
        rank=0,
        world_size=1,
        first_step=finished,
    )


def _drawn(gan: "GAN", latents: Any) -> Any:
    import keras

    with keras.StatelessScope():  # moving statistics are the step's to move
        return gan.generator(latents, training=True)


def _half(gan: "GAN", images: Any, numbers: Any, strength: Any) -> Half:
    """D's answer to each picture and how fast it changes there, on the batch's statistics."""
    import keras
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        augmented = gan.augmentation(images, numbers, strength)
        with keras.StatelessScope():
            logits = gan.discriminator(augmented, training=True)
        total = tf.reduce_sum(logits)
    gradient = tf.cast(tape.gradient(total, images), tf.float64)
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))
    return Half(
        np.asarray(images, np.float32),
        np.asarray(augmented, np.float32),
        np.asarray(logits, np.float64).ravel(),
        norms.numpy(),
    )
