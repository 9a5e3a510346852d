"""A real run, as small as runs can be: the real GAN, run folder, store and callbacks."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer import checkpoint, config, storage
from trainer.callbacks.assemble import Surroundings, assemble
from trainer.callbacks.base import closing
from trainer.callbacks.data_wait import DataWait
from trainer.callbacks.pace import TrainingClock
from trainer.callbacks.preemption import StopRequests
from trainer.callbacks.schedule import Schedule
from trainer.gan.build import build_gan
from trainer.run_folder import MetricsLog, NewRun, RunFolder

TRAIN_COUNT = 40
YAML = """
dataset: {size_px: 32, address: unused, flip: false}
model: {base_channels: 1, max_channels: 2, latent_dim: 4}
training: {steps: 12, global_batch: 4}
loss: {penalty_every_steps: 4}
checkpoint: {every_steps: 5}
samples: {every_steps: 6, count: 4}
metrics: {every_steps: 3}
"""


def tiny_config(*overrides: str) -> config.Config:
    return config.from_text(YAML, list(overrides))


def real_pictures(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (min(count, 4), 32, 32, 3), np.uint8)


def batches(settings: config.Config) -> tf.data.Dataset:
    size = settings.dataset.size_px
    shape = (settings.training.global_batch, size, size, 3)
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return tf.data.Dataset.from_tensors(picture).repeat()


class TinyRun:
    """Begins a start in `folder` and trains; `fit` may be called once."""

    def __init__(
        self, folder: Path | str, settings: config.Config, requests: StopRequests | None = None
    ) -> None:
        self.config = settings
        self.run = RunFolder(storage.open_folder(str(folder)))
        self.begun = checkpoint.begin(
            self.run, NewRun("tiny", "unused", "fingerprint", "hash"), host="here"
        )
        start, first = self.begun.start, self.begun.first_step
        self.schedule = Schedule.of(settings, TRAIN_COUNT)
        self.metrics_log = MetricsLog(self.run, start, first)
        self.store = checkpoint.CheckpointStore(
            self.run, start, before_publish=lambda step: self.metrics_log.flush()
        )
        self.gan = build_gan(settings)
        if self.begun.checkpoint:
            self.gan.load_state(self.begun.checkpoint.load(), first)
        self.gan.steps_this_call = self._steps_this_call
        self.requests = requests or StopRequests(catch_signals=False)
        self.around = Surroundings(
            config=settings,
            schedule=self.schedule,
            run=self.run,
            start=start,
            resumed_step=first if self.begun.checkpoint else None,
            store=self.store,
            metrics_log=self.metrics_log,
            requests=self.requests,
            data_wait=DataWait(),
            clock=TrainingClock(),
            meta=lambda step: {"images_seen": step * settings.training.global_batch},
            real_pictures=real_pictures,
        )
        self.callbacks = assemble(self.around)

    def _steps_this_call(self, step: int) -> int:
        return min(self.config.training.steps_per_call, self.schedule.next_boundary(step) - step)

    def fit(self, dataset: tf.data.Dataset | None = None) -> None:
        data = self.around.data_wait.measured(dataset or batches(self.config))
        with self.store, closing(self.callbacks):
            self.gan.fit(
                data,
                steps_per_epoch=self._calls(),
                shuffle=False,
                callbacks=self.callbacks,
                verbose=0,
            )
        status = "finished" if self.gan.step >= self.config.training.steps else "stopped"
        self.run.end_start(self.begun.start, status, "fit ended", step=self.gan.step)

    def _calls(self) -> int:
        """Calls from Python until the run's last step."""
        step, calls = self.gan.step, 0
        while step < self.config.training.steps:
            step += self._steps_this_call(step)
            calls += 1
        return calls
