"""What a forked process does where the command line alone cannot do it.

Each function takes a list of strings and returns an exit code, as a process does.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from trainer import config as configs
from trainer import console, quiet
from trainer.callbacks.base import StepCallback
from trainer.errors import CatganError
from trainer.launch import door
from trainer.launch.starting import Options


def _told(train) -> int:
    quiet.prepare_environment()
    console.set_up()
    try:
        train()
    except CatganError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


class WaitAt(StepCallback):
    """After a step, says so and waits until a file is there."""

    def __init__(self, step: int, gate: Path) -> None:
        super().__init__()
        self._step, self._gate = step, gate

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        if step == self._step:
            print(f"waits after step {step}", file=sys.stderr, flush=True)
            while not self._gate.exists():
                time.sleep(0.01)


class Poison(StepCallback):
    """After a step, one weight is no number any more; so many times, over all starts."""

    def __init__(self, step: int, network: str, times: int = 99) -> None:
        super().__init__()
        self._step, self._network, self._times = step, network, times

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        if step == self._step and self._times:
            self._times -= 1
            poison(getattr(self.model, self._network))


def poison(network: Any) -> None:
    kernel = network.trainable_variables[2]
    values = kernel.numpy()
    values.flat[3] = float("nan")
    kernel.assign(values)


def train_and_wait(args: list[str]) -> int:
    """Trains CONFIG; after STEP waits for the file GATE. `resume` instead of a config resumes."""
    config, run, step, gate = args
    options = Options(callbacks=lambda gan: [WaitAt(int(step), Path(gate))])
    if config == "resume":
        return _told(lambda: door.resume(run, options=options))
    return _told(lambda: door.train(configs.load(config, [f"run={run}"]), options))


def train_poisoned(args: list[str]) -> int:
    """Trains CONFIG; after STEP a weight of NETWORK is NaN, in so many starts."""
    config, run, step, network, times = args
    poison = Poison(int(step), network, int(times))
    options = Options(callbacks=lambda gan: [poison])
    return _told(lambda: door.train(configs.load(config, [f"run={run}"]), options))


def train_cut(args: list[str]) -> int:
    """Trains CONFIG; dies between the parts of STEP and its manifest."""
    config, run, step = args

    def die(published: int) -> None:
        if published == int(step):
            os.kill(os.getpid(), 9)

    options = Options(before_publish=die)
    return _told(lambda: door.train(configs.load(config, [f"run={run}"]), options))


def verify_order(args: list[str]) -> int:
    """What `trainer.launch.verify_process` does with the order on its standard input."""
    import json

    from trainer.launch import verify_process

    order = verify_process.Order(**json.loads(args[0]))
    quiet.prepare_environment()
    console.set_up()
    try:
        print(json.dumps(verify_process.obey(order)))
    except CatganError as error:
        print(json.dumps({"what": error.what}))
        return error.exit_code
    return 0


def debug(args: list[str]) -> int:
    """`catgan debug`, but for a NaN that is planted in a weight of NETWORK before it begins."""
    network, *words = args
    from trainer import worker
    from trainer.cli import main

    build = worker.build_gan

    def build_poisoned(*args: Any, **options: Any) -> Any:
        gan = build(*args, **options)
        poison(getattr(gan, network))
        return gan

    worker.build_gan = build_poisoned
    return main.run(["debug", *words])


def train_until(args: list[str]) -> int:
    """Trains CONFIG and stops in good order after STEP."""
    config, run, step, *overrides = args
    from trainer.callbacks.stop_at import StopAt

    options = Options(callbacks=lambda gan: [StopAt(int(step))])
    return _told(lambda: door.train(configs.load(config, [f"run={run}", *overrides]), options))


def take_and_wait(args: list[str]) -> int:
    """Takes RUN and claims no start; holds it until the file GATE is there."""
    run, gate = args
    from trainer import storage
    from trainer.launch.hold import hold
    from trainer.run_folder import RunFolder

    def take() -> None:
        with hold(RunFolder(storage.open_folder(run))) as held:
            held.take()
            print("took the run", file=sys.stderr, flush=True)
            while not Path(gate).exists():
                time.sleep(0.01)

    return _told(take)
