"""One worker of `test_distribution`: trains the real GAN and saves its state.

Run as `python -m tests.distribution_worker OUT STEPS OVERRIDE...`, with
TF_CONFIG set where there is more than one worker.
"""

import os
import sys

import numpy as np


def main(out: str, steps: int, overrides: list[str]) -> None:
    """Trains `steps` steps on pictures that are a function of step and row."""
    import tensorflow as tf

    # Also what makes the executors of several workers take collectives in one order.
    tf.config.experimental.enable_op_determinism()
    several = "TF_CONFIG" in os.environ
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if several else None
    from trainer import config as configs
    from trainer.distribution import Distribution
    from trainer.gan.build import build_gan

    config = configs.from_text("", overrides)
    distribution = Distribution(strategy)
    batch, lanes, size = config.training.global_batch, config.dataset.lanes, config.dataset.size_px
    rows = np.array(
        [i for i in range(batch) if i % lanes % distribution.world_size == distribution.rank]
    )
    gan = build_gan(config, distribution, rows=rows)
    gan.steps_this_call = lambda step: config.training.steps_per_call
    pictures = np.random.default_rng(5).integers(0, 256, (steps, batch, size, size, 3), np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices(pictures[:, rows])
    calls = steps // config.training.steps_per_call
    history = gan.fit(dataset, steps_per_epoch=calls, verbose=0)
    figures = {f"figure/{name}": np.array(values) for name, values in history.history.items()}
    np.savez(f"{out}/rank{distribution.rank}.npz", **gan.state(), **figures)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
