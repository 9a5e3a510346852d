"""One of several workers that are started by hand, for `launcher.py`.

    TF_CONFIG=… python -m benchmarks.launcher_by_hand CONFIG KEY=VALUE…

Does what a Ray worker does, without Ray: the first rank claims the run, all train.
"""

import json
import os
import socket
import sys
import time

from trainer import config as configs
from trainer import quiet, storage
from trainer.run_folder import RunFolder

# Drawing and preparing take the first rank some seconds.
PREPARE_SECS = 300.0
_POLL_SECS = 0.5


def main(path: str, overrides: list[str]) -> None:
    quiet.import_tensorflow()
    from trainer import checkpoint, device, worker
    from trainer.distribution import several_workers
    from trainer.launch import starting

    task = json.loads(os.environ["TF_CONFIG"])
    config = configs.load(path, overrides)
    folder = RunFolder(storage.open_folder(config.run))
    device.set_up(config)
    distribution = several_workers(len(task["cluster"]["worker"]), on_gpu=False)
    config = starting.resolve(config, folder, "float32")
    if distribution.rank == 0:
        starting.prepare_if_missing(config)
    dataset = _opened(config)
    begun = checkpoint.Begun(1, None)
    if distribution.rank == 0:
        begun = checkpoint.begin(
            folder,
            starting.identity(config, dataset.fingerprint, {"jit": False}, folder.read_record()),
            host=socket.gethostname(),
            world_size=distribution.world_size,
        )
    context = worker.Context(distribution=distribution)
    worker.run(config, folder, dataset, begun, context)


def _opened(config, secs: float = PREPARE_SECS):
    """Opens the data set once the first rank has prepared it; DataError where it never does."""
    from trainer.errors import DataError
    from trainer.launch import starting

    until = time.monotonic() + secs
    while True:
        try:
            return starting.open_dataset(config)
        except DataError:
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_SECS)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
