"""One rung of one trial, in a process of its own: trains up to a step, and scores it.

Owns the order that it reads from the first line of standard input and the answer that it
writes to standard output, one JSON object each. Training is `trainer.launch.door`'s,
which goes on from whatever the trial's run folder holds.

Standard input stays open for as long as whoever asked lives. When it closes, this
process takes it for a SIGTERM: it publishes a checkpoint and ends.
"""

import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any

from trainer import config as configs
from trainer import console, quiet, storage
from trainer.config import Config
from trainer.errors import CatganError
from trainer.run_folder import RunFolder, names


@dataclass(frozen=True)
class Order:
    """What the process shall do.

    Attributes:
        config: YAML of the trial's config.
        step: Where the rung ends.
    """

    config: str
    step: int

    def to_json(self) -> str:
        """Returns the order as one line."""
        return json.dumps(asdict(self))


def obey(order: Order) -> dict[str, Any]:
    """Trains and scores as ordered; returns the score's fields and the step.

    Raises:
        CatganError: See `trainer.launch.door.train`.
    """
    from trainer.launch.tuning.score import score

    config = configs.from_text(order.config)
    _train(config, order.step)
    address = storage.join(config.run, names.checkpoint_folder(order.step))
    return {"step": order.step, **asdict(score(address, config))}


def _train(config: Config, step: int) -> None:
    from trainer import checkpoint
    from trainer.launch import door
    from trainer.launch.starting import Options

    run = RunFolder(storage.open_folder(config.run))
    # A rung whose score was lost on the way is not trained beyond.
    if any(found.counts and found.step == step for found in checkpoint.list_all(run)):
        return
    door.train(config, Options(callbacks=lambda gan: [_stopping(gan, step)]))


def _stopping(gan: Any, step: int) -> Any:
    """Stops at the step itself: the call that would go beyond is cut."""
    from trainer.callbacks.stop_at import StopAt

    planned = gan.steps_this_call
    gan.steps_this_call = lambda done: min(planned(done), max(1, step - done))
    return StopAt(step)


def _end_with(parent: Any) -> None:
    parent.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Reads an order, obeys it, answers; returns the exit code."""
    order = Order(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with, args=(sys.stdin,), daemon=True).start()
    quiet.prepare_environment(verbose=False)
    console.set_up(verbose=False)
    quiet.import_tensorflow(verbose=False)
    try:
        answer, code = obey(order), 0
    except CatganError as error:
        answer, code = {"failed": str(error)}, error.exit_code
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    # At once, because the thread still reads.
    code = main()
    sys.stderr.flush()
    os._exit(code)
