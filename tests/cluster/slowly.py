"""`catgan`, with a pause after every step: a short run lasts, and its weights are the same.

A program of its own, so that Ray sends what is defined here to the workers by value.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PAUSE_SECS = 0.1


def pauses(gan: Any) -> list:
    import time

    from trainer.callbacks.base import StepCallback

    class Pause(StepCallback):
        def after_call(self, step, logs):
            time.sleep(PAUSE_SECS)

    return [Pause()]


if __name__ == "__main__":
    from trainer.cli.main import main
    from trainer.launch import starting

    @dataclass(frozen=True)
    class Slowly(starting.Options):
        callbacks: Callable[[Any], list] = pauses

    starting.Options = Slowly  # what commands begin with
    sys.exit(main())
