"""One contestant of `step.py`: `python -m benchmarks.step_contestants NAME CONFIG PICTURES`.

Owns the list of contestants and how each is asked for steps. CONFIG is a resolved config,
PICTURES an array of batches, uint8 `[batches, n, H, W, 3]`; both are written by `step.py`.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.processes import serve
from trainer import config as configs
from trainer.config import Config

# Takes whether a penalty is due; returns when the step has ended.
Step = Callable[[bool], None]


class Ours:
    """The step as shipped, through its `StepRunner`."""

    def __init__(self, config: Config, batches: np.ndarray, update: str = "alternating") -> None:
        tf = _tensorflow()
        from trainer.gan.build import build_gan

        training = config.training.model_copy(update={"update": update})
        self._gan = build_gan(config.model_copy(update={"training": training}))
        self._runner = self._gan.runner()
        self._batches = itertools.cycle([tf.constant(batch) for batch in batches])
        self._every = config.loss.penalty_every_steps
        self._finished = 0

    def step(self, with_penalty: bool) -> None:
        """One step."""
        # Going on to the next step that has a penalty, or that has none.
        self._finished += 1
        while self._runner.penalty_due(self._finished) != with_penalty:
            self._finished += 1
        float(self._runner.run(self._batches, self._finished, 1)["d_loss"])

    def leave_out_average(self) -> None:
        """Steps from now on keep no averaged generator. Before the first one only."""
        self._gan._average = lambda *_: None

    def flops(self) -> dict[str, int]:
        """Operations of both kinds of step."""
        from trainer.gan.flops import step_flops

        counted = step_flops(self._gan)
        return {"plain": counted.plain, "penalty": counted.penalty}


class TwoPass:
    """See `step_two_pass.py`."""

    def __init__(self, config: Config, batches: np.ndarray, quick: bool = False) -> None:
        self._tf = _tensorflow()
        from benchmarks.step_two_pass import TwoPassGAN

        self._gan = TwoPassGAN(config, quick=quick)
        self._batches = itertools.cycle([self._tf.constant(batch) for batch in batches])
        self._finished = 0

    def step(self, with_penalty: bool) -> None:
        """One step."""
        d_loss, _ = self._gan.step(next(self._batches), self._number(), with_penalty)
        float(d_loss)
        self._finished += 1

    def flops(self) -> dict[str, int]:
        """Operations of both kinds of step."""
        from trainer.gan.flops import count_flops

        def count(with_penalty: bool) -> int:
            batch = next(self._batches)
            return count_flops(
                self._gan.step.get_concrete_function(batch, self._number(), with_penalty)
            )

        return {"plain": count(False), "penalty": count(True)}

    def _number(self):
        return self._tf.constant(self._finished, self._tf.int64)


class Torch:
    """See `step_torch.py`."""

    def __init__(
        self, config: Config, batches: np.ndarray, channels_last: bool, passes: int = 2
    ) -> None:
        import torch

        from benchmarks.step_torch import TorchGAN

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.set_flush_denormal(True)
        self._gan = TorchGAN(config, channels_last=channels_last, passes=passes)
        self._batches = itertools.cycle([torch.from_numpy(batch) for batch in batches])
        self._version = torch.__version__

    def step(self, with_penalty: bool) -> None:
        """One step."""
        d_loss, _ = self._gan.step(next(self._batches), with_penalty)
        float(d_loss)

    def flops(self) -> dict[str, int]:
        """Not counted here: the same passes as TensorFlow's contestants make."""
        return {}

    def version(self) -> str:
        """Of PyTorch."""
        return self._version


CONTESTANTS: dict[str, Callable[..., Ours | TwoPass | Torch]] = {
    "ours": Ours,
    "ours-simultaneous": lambda *a: Ours(*a, update="simultaneous"),
    "two-pass": TwoPass,
    "two-pass-quick": lambda *a: TwoPass(*a, quick=True),
    "torch": lambda *a: Torch(*a, channels_last=False),
    "torch-channels-last": lambda *a: Torch(*a, channels_last=True),
    "torch-one-pass": lambda *a: Torch(*a, channels_last=True, passes=1),
}


def _tensorflow():
    from trainer.quiet import import_tensorflow

    return import_tensorflow()


def main() -> None:
    name, config_path, pictures_path = sys.argv[1:]
    config = configs.load(config_path)
    contestant = CONTESTANTS[name](config, np.load(Path(pictures_path)))

    def answer(ask: str, steps: int = 0, with_penalty: bool = False):
        if ask != "steps":
            return getattr(contestant, ask)()
        secs = []
        for _ in range(steps):
            began = time.perf_counter()
            contestant.step(with_penalty)
            secs.append(time.perf_counter() - began)
        return secs

    serve(answer)


if __name__ == "__main__":
    main()
