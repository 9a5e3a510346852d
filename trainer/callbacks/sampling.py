"""Grids of fixed latents while training goes on.

Owns when a grid is drawn and where it lies. What a seed means and how pictures
become PNG is in `trainer.gan.sampling`; PNG and storage are done behind the
training.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from trainer.callbacks import portrait
from trainer.callbacks.background import Background
from trainer.callbacks.base import StepCallback
from trainer.callbacks.cadence import Due
from trainer.config import Config
from trainer.gan import sampling
from trainer.run_folder import names
from trainer.storage import Folder


class Sampling(StepCallback):
    """Draws the averaged generator's pictures of seeds 0, 1, 2 … at due steps.

    Args:
        folder: The run folder.
        config: Of the run.
        due: When a grid is due.
        secs: The training clock, for intervals in minutes.
        real_pictures: `count -> uint8 [at most count, H, W, 3]`, called at most once.
        on_grid: Called behind the training with (step, uint8 `[H, W, 3]`).
        on_features: The same with D's features of its pictures, and of real ones, float32
            `[n, d]`, once they are read.
        asks_discriminator: Keep its answers, and walks, for the run's page. Not where each of its
            calls is looked at as part of a step.
    """

    def __init__(
        self,
        folder: Folder,
        config: Config,
        due: Due,
        secs: Callable[[], float],
        real_pictures: Callable[[int], np.ndarray],
        on_grid: Callable[[int, np.ndarray], None] = lambda step, grid: None,
        on_features: Callable[[int, np.ndarray, np.ndarray], None] = lambda step, fake, real: None,
        *,
        asks_discriminator: bool = True,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._due = due
        self._secs = secs
        self._real_pictures = real_pictures
        self._on_grid = on_grid
        self._on_features = on_features
        self._config = config
        self._asks_discriminator = asks_discriminator
        self._real: np.ndarray | None = None
        self._behind = Background("samples")

    def begin(self, step: int) -> None:
        """Draws where the run stands, so that `latest.png` is true from the start."""
        self._draw(step, named=self._due.now(step, self._secs()))
        self._behind.submit(self._read_real)

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Draws if a grid is due."""
        if self._due.now(step, self._secs()):
            self._draw(step, named=True)

    def close(self) -> None:
        """Waits for grids under way."""
        self._behind.close()

    def _draw(self, step: int, named: bool) -> None:
        pictures = _draw(self.model.ema_generator, self._config)
        if not self._asks_discriminator:
            self._behind.submit(lambda: self._write(step, pictures, named))
            return
        # Real ones are there once they are read.
        fake, real = (self._eye.sees(one) for one in (pictures, self._real_so_far(pictures)))
        walked = portrait.walks(self.model.ema_generator, self._config)

        def write() -> None:
            self._write(step, pictures, named)
            told = {"step": step, "fake_logits": fake.logits, "real_logits": real.logits}
            portrait.write(self._folder, told, walked)
            self._on_features(step, fake.features, real.features)

        self._behind.submit(write)

    @functools.cached_property
    def _eye(self) -> portrait.Eye:
        return portrait.Eye(self.model.discriminator, self._config.model.picture_scale)

    def _real_so_far(self, pictures: np.ndarray) -> np.ndarray:
        return self._real if self._real is not None else pictures[:0]

    def _write(self, step: int, pictures: np.ndarray, named: bool) -> None:
        grid = sampling.grid(pictures)
        _write(self._folder, step, grid, named)
        self._on_grid(step, grid)

    def _read_real(self) -> None:
        real = self._real_pictures(self._config.samples.count)
        self._real = real
        if not self._folder.exists(names.REAL_SAMPLE):
            self._folder.write(names.REAL_SAMPLE, sampling.png_bytes(sampling.grid(real)))


def draw_missing(folder: Folder, config: Config, ema_generator: keras.Model, step: int) -> bool:
    """Draws the grid of a finished run's last step if it is not there; says whether it was not.

    A kill between the last checkpoint and its grid leaves a run with nothing to train, and a
    run that is resumed with fewer steps may end at a checkpoint that had no grid.

    Args:
        folder: The run folder.
        config: Of the run.
        ema_generator: The averaged generator after `step` steps.
        step: The last step.

    Raises:
        StorageError: The run folder cannot be read or written.
    """
    if folder.exists(names.sample(step)):
        return False
    _write(folder, step, sampling.grid(_draw(ema_generator, config)), named=True)
    return True


def _draw(ema_generator: keras.Model, config: Config) -> np.ndarray:
    """Pictures of the seeds 0, 1, 2 …, uint8 `[samples.count, H, W, 3]`."""
    model = config.model
    latents = sampling.latents_from_seeds(
        range(config.samples.count), model.latent_dim, model.latent_distribution
    )

    def generate(latents: np.ndarray) -> np.ndarray:
        return np.asarray(ema_generator(latents, training=False), np.float32)

    return sampling.draw_pictures(generate, latents, scale=model.picture_scale)


def _write(folder: Folder, step: int, grid: np.ndarray, named: bool) -> None:
    png = sampling.png_bytes(grid)
    if named:
        folder.write(names.sample(step), png)
    folder.write(names.LATEST_SAMPLE, png)
