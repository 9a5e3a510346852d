"""Builds a `GAN` from a config: networks, optimizers, precision.

Owns the order of construction that `tf.distribute` asks for: networks and
optimizers inside the scope, the model outside of it.
"""

import logging
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.distribution import Distribution, adam
from trainer.gan.draws import Draws
from trainer.gan.gan import GAN
from trainer.gan.networks import build_discriminator, build_generator

log = logging.getLogger("catgan")

_POLICIES = {
    "float32": "float32",
    "float64": "float64",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def resolve_precision(precision: str) -> str:
    """Returns the precision that `auto` stands for on this machine."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "float32"
    capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    return "bfloat16" if capability and capability >= (8, 0) else "float32"


def build_gan(
    config: Config,
    distribution: Distribution | None = None,
    *,
    rows: np.ndarray | None = None,
    jit: bool = False,
    run_eagerly: bool = False,
) -> GAN:
    """Builds and compiles the model of a run.

    Args:
        config: The run's config, `precision` resolved or `auto`.
        distribution: Where to run; default: this process alone.
        rows: This worker's rows of the global batch; default: all.
        jit: Compile the step with XLA.
        run_eagerly: Do not trace the step.
    """
    distribution = distribution or Distribution()
    config = config.model_copy(update={"precision": resolve_precision(config.precision)})
    options: dict[str, Any] = {
        "seed": config.seed,
        "policy": _POLICIES[config.precision],
        "synchronized": distribution.world_size > 1 and config.model.batch_norm == "sync",
    }
    model, size_px = config.model, config.dataset.size_px
    quick = not tf.config.get_visible_devices("GPU")
    with distribution.scope():
        generator = build_generator(model, size_px, quick=quick, **options)
        discriminator = build_discriminator(model, size_px, quick=quick, **options)
        ema_generator = build_generator(model, size_px, **options)
        generator_optimizer = adam(distribution, config.generator_adam, "generator_adam")
        generator_optimizer.build(generator.trainable_variables)
        discriminator_optimizer = adam(
            distribution, config.discriminator_adam, "discriminator_adam"
        )
        discriminator_optimizer.build(discriminator.trainable_variables)
    draws = Draws(config.step_seed, config.training.global_batch, rows)
    gan = GAN(
        generator,
        discriminator,
        ema_generator,
        config=config,
        distribution=distribution,
        draws=draws,
    )
    jit = jit and _can_compile(gan)
    gan.compile(generator_optimizer, discriminator_optimizer, jit=jit, run_eagerly=run_eagerly)
    return gan


def _can_compile(gan: GAN) -> bool:
    """Says whether nothing asks other workers, which XLA cannot; logs it where something does."""
    networks = gan.generator, gan.discriminator
    asking = [x.name for net in networks for x in net.layers if getattr(x, "synchronized", False)]
    if gan.halves.asks_workers and gan.distribution.world_size > 1:
        asking.append(f"loss.name={gan.config.loss.name}")
    if asking:
        log.warning(
            "jit is left out: %s, and %d more like it, sum over workers inside the step",
            asking[0],
            len(asking) - 1,
        )
    return not asking
