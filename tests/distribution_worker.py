"""One worker of `test_distribution`: trains the real GAN on the real stream, case by case.

Run as `python -m tests.distribution_worker OUT CASES`, with TF_CONFIG set where there is more
than one worker. CASES is a JSON object `{name: [override, ...]}`; the cases share a process,
because starting one takes longer than most of them. Written for each case, and rank, to OUT:
`NAME.rankR.npz` with the state, `figure/…` of every call, the global rows and their pictures
and latents, `seen/…`, and what this rank heard after every call, `heard/…`.
"""

import json
import os
import sys
import time

import numpy as np

STEPS = 20
# Call after which rank 1 asks for a stop, and after which it thinks better of it.
SAYS, UNSAYS = 1, 2
# Calls after which rank 1 does something else for so many seconds.
DAWDLES, DAWDLE_SECS = (9, 10, 11), 0.5


def main(out: str, cases: dict[str, list[str]]) -> None:
    """Trains every case for `STEPS` steps."""
    import keras
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy() if "TF_CONFIG" in os.environ else None
    from trainer.distribution import Distribution

    distribution = Distribution(strategy)
    for name, overrides in cases.items():
        arrays = _trained(distribution, overrides)
        np.savez(f"{out}/{name}.rank{distribution.rank}.npz", **arrays)
        keras.backend.clear_session()


def _trained(distribution, overrides: list[str]) -> dict[str, np.ndarray]:
    from trainer import config as configs
    from trainer.data.order import rows_of
    from trainer.data.stream import open_dataset
    from trainer.gan.build import build_gan

    config = configs.from_text("", overrides)
    place = distribution.rank, distribution.world_size
    lanes, batch = config.dataset.lanes, config.training.global_batch
    rows = rows_of(*place, lanes, batch)
    gan = build_gan(config, distribution, rows=rows, jit=config.jit is True)
    gan.steps_this_call = lambda step: config.training.steps_per_call
    seen = {} if config.jit is True else _recorded(gan)
    dataset = open_dataset(config.dataset.address, cache_mib=1, memory_mib=0, cache_dir="unused")
    batches = dataset.batches(
        seed=config.seed,
        global_batch=batch,
        lanes=lanes,
        rank=place[0],
        world_size=place[1],
        first_step=0,
    )
    followed = _follower()
    calls = STEPS // config.training.steps_per_call
    gan.fit(batches, steps_per_epoch=calls, verbose=0, shuffle=False, callbacks=[followed])
    arrays = gan.state() | {name: np.array(v) for name, v in followed.values.items()}
    arrays["rows"] = rows
    for name, by_step in seen.items():
        arrays[f"seen/{name}"] = np.stack([by_step[step] for step in range(STEPS)])
    return arrays


def _recorded(gan) -> dict[str, dict[int, np.ndarray]]:
    """Makes the step write down its pictures and latents; returns where, by step."""
    import tensorflow as tf

    seen: dict[str, dict[int, np.ndarray]] = {"pictures": {}, "latents": {}}
    real_images, latents = gan.inputs.real_images, gan.inputs.latents

    def noted(name, tensor, step):
        def write(array, step):
            seen[name][int(step)] = array.copy()
            return np.int64(0)

        tf.numpy_function(write, [tensor, step], tf.int64)
        return tensor

    gan.inputs.real_images = lambda images, step: noted("pictures", real_images(images, step), step)
    gan.inputs.latents = lambda step: noted("latents", latents(step), step)
    return seen


def _follower():
    """A callback that keeps figures and what was heard, and says something on the way."""
    import keras

    class Follower(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.values: dict[str, list] = {}

        def on_train_batch_end(self, batch, logs=None):
            agreement = self.model.agreement
            now = {f"figure/{n}": float(v) for n, v in self.model.last_figures.items()}
            now["heard/stop"] = agreement.heard("stop")
            now["heard/busy_secs"] = agreement.heard_by_rank("busy_secs")
            for name, value in now.items():
                self.values.setdefault(name, []).append(value)
            if agreement.rank == 1 and batch in (SAYS, UNSAYS):
                agreement.say("stop", float(batch == SAYS))
            if agreement.rank == 1 and batch in DAWDLES:
                time.sleep(DAWDLE_SECS)

    return Follower()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
