"""What a start says in the log of the work before it: where it goes on, who does what share.

Owns these lines, for one process and for several.
"""

import logging
import math
from typing import Any

from trainer.config import Config

log = logging.getLogger("catgan")


def tell_where(begun: Any, config: Config) -> None:
    """Says in the log where a start goes on."""
    if begun.checkpoint:
        log.info("going on from step %s", f"{begun.first_step:,}")
    elif config.training.start_from:
        steps, first = config.training.steps, config.training.start_from
        log.info("training %s steps from the networks of %s", f"{steps:,}", first)
    else:
        log.info("training %s steps from the beginning", f"{config.training.steps:,}")


def tell_shape(config: Config, dataset: Any, world_size: int) -> None:
    """Says in the log how the work is shared among several workers."""
    from trainer.data.order import rows_of

    batch, lanes = config.training.global_batch, config.dataset.lanes
    rows = [len(rows_of(rank, world_size, lanes, batch)) for rank in range(world_size)]
    shares = str(rows[0]) if len(set(rows)) == 1 else f"{max(rows)} to {min(rows)}"
    log.info(
        "global batch %d on %d workers, %s pictures each (%d lanes); %s steps an epoch",
        batch,
        world_size,
        shares,
        lanes,
        f"{dataset.train_count / batch:,.1f}",
    )


def tell_traffic(gan: Any, world_size: int) -> None:
    """Says in the log what every worker sends in a step: its gradients, around a ring."""
    weights = [*gan.generator.trainable_variables, *gan.discriminator.trainable_variables]
    gradient_bytes = sum(weight.value.dtype.size * math.prod(weight.shape) for weight in weights)
    sent = ring_bytes(gradient_bytes, world_size)
    log.info(
        "every worker sends %.1f MB a step, for %.1f MB of gradients", sent / 1e6,
        gradient_bytes / 1e6,
    )  # fmt: skip


def ring_bytes(gradient_bytes: float, world_size: int) -> float:
    """Returns what each of the workers of a ring sends to sum a tensor over all of them.

    Each sends a share of 1/n to its neighbour n - 1 times to sum, and again to spread the sums
    (Patarasuk and Yuan, 2009).
    """
    return 2 * gradient_bytes * (world_size - 1) / world_size
