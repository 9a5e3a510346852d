"""`catgan` with a worker that gets into trouble: `troubled.py KIND MARKER WORDS...`.

A program of its own, so that Ray sends what is defined here to the workers by value. What
happens only once leaves the file MARKER behind.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

STEP = 45
LINGER_SECS = 40.0


def in_trouble(kind: str, marker: str, gan: Any) -> list:
    import os
    import signal
    import time

    import numpy as np

    from trainer.callbacks.base import StepCallback
    from trainer.errors import DataError

    def hangs() -> None:
        if not Path(marker).exists():
            Path(marker).touch()
            time.sleep(3600)

    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def bug() -> None:
        raise ValueError("three is not four")

    def own() -> None:
        raise DataError(
            "the shelf is empty", expected="a shelf with pictures", remedy="fill the shelf"
        )

    def diverges() -> None:
        for variable in gan.discriminator.trainable_variables:
            gan.distribution.local(variable).assign(np.full(variable.shape, np.nan))

    everywhere = kind == "diverges"  # mirrored variables are the same on all ranks
    troubles = {"hangs": hangs, "dies": dies, "bug": bug, "own": own, "diverges": diverges}
    lasts = LINGER_SECS if kind == "lingers" and gan.distribution.rank == 0 else 0.0

    class Trouble(StepCallback):
        def after_call(self, step: int, logs: dict) -> None:
            if step == STEP and kind in troubles and (everywhere or gan.distribution.rank == 1):
                troubles[kind]()

        def end(self, step: int) -> None:
            time.sleep(lasts)  # as for an upload, or a measurement

    return [Trouble()]


class TakesThePort:
    """Listens on rank 1's held port as soon as it gets there, once."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __call__(self, gan: Any) -> list:
        return []

    def __setstate__(self, state: dict[str, Any]) -> None:
        import json
        import os
        import socket

        self.__dict__.update(state)
        told = json.loads(os.environ.get("TF_CONFIG", "{}"))
        if not told or told["task"]["index"] != 1 or Path(self.marker).exists():
            return
        Path(self.marker).touch()
        port = int(told["cluster"]["worker"][1].rpartition(":")[2])
        self.taken = socket.socket(socket.AF_INET6)
        self.taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.taken.bind(("::", port))
        self.taken.listen()


if __name__ == "__main__":
    from trainer.cli.main import main
    from trainer.launch import starting

    kind, marker = sys.argv[1:3]
    del sys.argv[1:3]

    @dataclass(frozen=True)
    class Troubled(starting.Options):
        callbacks: Callable[[Any], list] = (
            TakesThePort(marker) if kind == "port" else partial(in_trouble, kind, marker)
        )

    starting.Options = Troubled  # what commands begin with
    sys.exit(main())
