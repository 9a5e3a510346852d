"""Grids of fixed latents while training goes on.

Owns when a grid is drawn and where it lies. What a seed means and how pictures
become PNG is in `trainer.gan.sampling`; PNG and storage are done behind the
training.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.callbacks.background import Background
from trainer.callbacks.base import StepCallback
from trainer.callbacks.schedule import Due
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
    """

    def __init__(
        self,
        folder: Folder,
        config: Config,
        due: Due,
        secs: Callable[[], float],
        real_pictures: Callable[[int], np.ndarray],
        on_grid: Callable[[int, np.ndarray], None] = lambda step, grid: None,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._due = due
        self._secs = secs
        self._real_pictures = real_pictures
        self._on_grid = on_grid
        self._count = config.samples.count
        self._scale = config.model.picture_scale
        self._latents = sampling.latents_from_seeds(
            range(self._count), config.model.latent_dim, config.model.latent_distribution
        )
        self._behind = Background("samples")

    def begin(self, step: int) -> None:
        """Draws where the run stands, so that `latest.png` is true from the start."""
        self._draw(step, named=self._due.now(step, self._secs()))
        self._behind.submit(self._write_real_once)

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Draws if a grid is due."""
        if self._due.now(step, self._secs()):
            self._draw(step, named=True)

    def close(self) -> None:
        """Waits for grids under way."""
        self._behind.close()

    def _draw(self, step: int, named: bool) -> None:
        pictures = sampling.draw_pictures(self._generate, self._latents, scale=self._scale)
        self._behind.submit(lambda: self._write(step, sampling.grid(pictures), named))

    def _generate(self, latents: np.ndarray) -> np.ndarray:
        pictures = self.model.ema_generator(latents, training=False)
        return np.asarray(pictures, np.float32)

    def _write(self, step: int, grid: np.ndarray, named: bool) -> None:
        png = sampling.png_bytes(grid)
        if named:
            self._folder.write(names.sample(step), png)
        self._folder.write(names.LATEST_SAMPLE, png)
        self._on_grid(step, grid)

    def _write_real_once(self) -> None:
        if not self._folder.exists(names.REAL_SAMPLE):
            real = self._real_pictures(self._count)
            self._folder.write(names.REAL_SAMPLE, sampling.png_bytes(sampling.grid(real)))
