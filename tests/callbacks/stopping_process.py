"""A process that trains until it is stopped; see test_preemption.

Arguments: folder for the run, and `trains`, `blocks` (inside native code) or
`early` (before it trains). Says `training` or `caught` once it can be stopped.
"""

import ctypes
import signal
import sys
import time
from pathlib import Path

from trainer import console
from trainer.callbacks.stop_requests import StopRequests
from trainer.errors import CatganError


def train(folder: Path, blocks: bool) -> None:
    from tests.callbacks import tiny_run
    from trainer.callbacks.base import StepCallback

    class Tell(StepCallback):
        def after_call(self, step, logs):
            if step == 3:
                print("training", flush=True)
                if blocks:
                    # As a collective that waits for a dead worker. Held back in this thread
                    # only, so that the sleep is not cut short.
                    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
                    ctypes.CDLL(None).sleep(600)

    tiny_run.train(folder, "training.steps=1000000", callbacks=[Tell()])


def wait_to_be_stopped() -> None:
    with StopRequests():
        print("caught", flush=True)
        time.sleep(600)


def main() -> int:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    console.set_up()
    try:
        if mode == "early":
            wait_to_be_stopped()
        else:
            train(folder, mode == "blocks")
    except CatganError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
