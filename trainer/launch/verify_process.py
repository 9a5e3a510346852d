"""One of the processes that `verify-resume` starts: trains, and kills itself when told to.

Owns the order that it reads from standard input and the answer that it writes
to standard output, one JSON object each. Training is `trainer.launch.door`'s.

SIGKILL comes from inside so that it hits a known moment; it is the same signal,
and nothing in the process can catch it.
"""

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from trainer import config, console, quiet, storage
from trainer.errors import CatganError

_MOST_WAIT_SECS = 600.0
_POLL_SECS = 0.05


@dataclass(frozen=True)
class Order:
    """What a process shall do.

    Attributes:
        run: Address of the run folder.
        config: YAML of a new run; empty: go on with the one that is there.
        stop_at: Stop in good order after this step.
        kill_at: SIGKILL once this step is finished; 0: never.
        published: Wait for this checkpoint before that kill; 0: for none.
        kill_in: SIGKILL between the parts of this checkpoint and its manifest; 0: never.
        verbose: Let the libraries' log lines through.
    """

    run: str
    config: str
    stop_at: int
    kill_at: int = 0
    published: int = 0
    kill_in: int = 0
    verbose: bool = False

    def to_json(self) -> str:
        """Returns the order as one line."""
        return json.dumps(asdict(self))


def obey(order: Order) -> dict[str, Any]:
    """Trains as ordered and returns how it ended.

    Raises:
        CatganError: See `trainer.launch.door.train`.
    """
    from trainer.callbacks.stop_at import StopAt
    from trainer.launch import door
    from trainer.launch.starting import Options

    def callbacks(gan: Any) -> list:
        return [_kill_at(order), StopAt(order.stop_at)]

    def before_publish(step: int) -> None:
        if step == order.kill_in:
            _kill_self()

    options = Options(callbacks=callbacks, before_publish=before_publish)
    if order.config:
        outcome = door.train(config.from_text(order.config), options)
    else:
        outcome = door.resume(order.run, options=options)
    return {"status": outcome.status, "step": outcome.step}


def _kill_at(order: Order) -> Any:
    from trainer.callbacks.base import StepCallback

    class KillAt(StepCallback):
        """SIGKILL after a step."""

        def after_call(self, step: int, logs: dict[str, Any]) -> None:
            if order.kill_at and step >= order.kill_at:
                _wait_for(order.run, order.published)
                _kill_self()

    return KillAt()


def _wait_for(run: str, step: int) -> None:
    """Returns once the checkpoint is published, so that the kill loses a known number of steps."""
    from trainer.checkpoint.listing import manifest_name

    folder = storage.open_folder(run)
    until = time.monotonic() + _MOST_WAIT_SECS
    while step and not folder.exists(manifest_name(step)) and time.monotonic() < until:
        time.sleep(_POLL_SECS)


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Reads an order, obeys it, answers; returns the exit code."""
    order = Order(**json.loads(sys.stdin.read()))
    quiet.prepare_environment(verbose=order.verbose)
    console.set_up(verbose=order.verbose)
    quiet.import_tensorflow(verbose=order.verbose)
    try:
        answer, code = obey(order), 0
    except CatganError as error:
        answer = {"what": error.what, "expected": error.expected, "remedy": error.remedy}
        code = error.exit_code
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
