"""Watches a run for signs that it goes wrong, and tells of them in the log and in the rows.

Owns where the numbers come from and which of them stand in the rows of figures. What is a sign
is `trainer.health`'s.
"""

import collections
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import health
from trainer.callbacks.base import StepCallback
from trainer.callbacks.evaluating import Found, comparable
from trainer.config import Config
from trainer.gan import loss_scale
from trainer.gan.losses import Loss, build_loss
from trainer.gan.spectral import Spectral

log = logging.getLogger("catgan")


class HealthWatch(StepCallback):
    """Looks at each row, each grid's pictures and each measurement.

    Args:
        config: Of the run.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        self._loss = build_loss(config.loss)
        self._guess = loss_of_a_guess(self._loss) - self._loss.least
        self._losses: collections.deque[float] = collections.deque(maxlen=health.WINDOW)
        self._told = health.Told()

    def figures(self) -> dict[str, float]:
        """Looks at the weights; returns what a row of figures has of them."""
        rms = kernel_rms(self.model)
        self._look("exploding_weights", health.exploding(rms))
        found = {"largest_weight_rms": round(max(rms.values()), 5)}
        both = {"g": self.model.g_scale, "d": self.model.d_scale}
        scales = {name: float(s.value.numpy()) for name, s in both.items() if s.enabled}
        self._look("skipped_updates", health.skipping(scales, loss_scale.LEAST))
        return found | {f"{name}_loss_scale": value for name, value in scales.items()}

    def row(self, row: dict[str, Any]) -> None:
        """Looks at a row of figures.

        Of a loss of pairs the mean margin is judged, by what D's loss is of it: the loss of the
        step is mostly that of the few pairs that D gets wrong.
        """
        margin = row["d_real_logit"] - row["d_fake_logit"]
        of_pairs = self._loss.relative and not self._loss.averages
        d_loss = loss_at(self._loss, margin, 0.0) if of_pairs else row["d_loss"]
        self._losses.append(d_loss - self._loss.least)
        found = health.discriminator_wins(
            list(self._losses), self._guess, margin, of_pairs=of_pairs
        )
        self._look("discriminator_wins", found)

    def features(self, step: int, fake: np.ndarray, real: np.ndarray) -> None:
        """Looks at D's features of the fixed latents' pictures and of real ones, float32 `[n, d]`.

        Called behind training.
        """
        if min(len(fake), len(real)) < 2:
            return
        images_seen = step * self._config.training.global_batch
        self._look("collapse", health.collapsed(fake, real, images_seen))

    def measured(self, found: Sequence[Found]) -> None:
        """Looks at all that was measured so far, by step; called behind training."""
        alike = comparable(found)
        values = [(step, figure["value"], figure["error"]) for step, figure in alike]
        self._look("worse", health.worse(values))

    def _look(self, name: str, found: health.Diagnosis | None) -> None:
        news = self._told.news(name, found)
        if news is not None:
            log.warning("%s", news)


def loss_of_a_guess(loss: Loss) -> float:
    """D's loss where it gives the same answer, that of one that cannot tell, to everything."""
    return loss_at(loss, loss.undecided, loss.undecided)


def loss_at(loss: Loss, real_logit: float, fake_logit: float) -> float:
    """D's loss where all real pictures have one logit and all generated ones another."""
    # Two numbers: a GPU would first finish what it is at.
    with tf.device("CPU"):
        logits = tf.constant([[[real_logit]], [[fake_logit]]], tf.float64)
        rows = loss.discriminator(logits[0], logits[1], lambda rows: rows)
        return float(tf.add_n([tf.reduce_sum(row) for row in rows]))


def kernel_rms(gan: Any) -> dict[str, float]:
    """Root mean square of every kernel of both networks, by its layer's name.

    But for those that are divided by their largest singular value: their size means nothing.
    """
    kernels = {
        layer.name: layer.kernel
        for network in (gan.generator, gan.discriminator)
        for layer in network.layers
        if getattr(layer, "kernel", None) is not None and not isinstance(layer, Spectral)
    }
    local = gan.distribution.local
    rms = tf.stack([
        tf.sqrt(tf.reduce_mean(tf.square(tf.cast(local(kernel), tf.float32))))
        for kernel in kernels.values()
    ])  # fmt: skip
    return dict(zip(kernels, map(float, rms.numpy()), strict=True))
