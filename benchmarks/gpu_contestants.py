"""One contestant of `gpu.py`: `python -m benchmarks.gpu_contestants NAME CONFIG PICTURES`.

Owns how each is asked for a stretch of steps on a GPU: pictures come from host memory, the
device is waited for once, at the end. CONFIG and PICTURES as for `step_contestants.py`.
"""

import itertools
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.processes import serve
from trainer import config as configs
from trainer.config import Config


class Ours:
    """The step as shipped, through its `StepRunner`.

    Args:
        precision: `float32` (convolutions in TF32, TensorFlow's default) or `bfloat16`.
        jit: The whole step compiled with XLA.
        steps_per_call: Steps for one call from Python.
    """

    def __init__(
        self, config: Config, batches: np.ndarray, *, precision: str, jit: bool, steps_per_call: int
    ) -> None:
        from trainer import device
        from trainer.quiet import import_tensorflow

        self._tf = tf = import_tensorflow()
        config = config.model_copy(update={"precision": precision})
        device.set_up(config)
        from trainer.gan.build import build_gan

        self._gan = build_gan(config, jit=jit)
        self._runner = self._gan.runner()
        self._batches = iter(tf.data.Dataset.from_tensor_slices(batches).repeat().prefetch(4))
        self._finished, self._per_call = 0, steps_per_call

    def steps(self, count: int) -> float:
        """Seconds of one step, the mean of `count`."""
        began = time.perf_counter()
        for _ in range(count // self._per_call):
            logs = self._runner.run(self._batches, self._finished, self._per_call)
            self._finished += self._per_call
        if not np.isfinite(float(logs["d_loss"])):
            raise ValueError(f"after {self._finished} steps the loss is not finite")
        return (time.perf_counter() - began) / count

    def gflop(self) -> float:
        """Of the mean step."""
        from trainer.gan.flops import step_flops

        return step_flops(self._gan).mean / 1e9

    def peak_mb(self) -> float:
        """Most memory of the device that tensors took."""
        if not self._tf.config.get_visible_devices("GPU"):
            return 0.0
        return self._tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6

    def copy_ms(self) -> float:
        """Of everything that a checkpoint holds, from the device to host memory."""
        from trainer.gan import state

        tensors = list(state.variables(self._gan).values())
        secs = []
        for _ in range(5):
            began = time.perf_counter()
            for tensor in tensors:
                np.array(tensor)
            secs.append(time.perf_counter() - began)
        return 1e3 * float(np.median(secs))


class Torch:
    """See `step_torch.py`: two passes, or one as ours; eager, TF32 or autocast to bfloat16."""

    def __init__(
        self, config: Config, batches: np.ndarray, *, precision: str, passes: int = 1
    ) -> None:
        import torch

        from benchmarks.step_torch import TorchGAN

        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self._bfloat16 = precision == "bfloat16"
        self._every = config.loss.penalty_every_steps
        self._gan = TorchGAN(config, channels_last=True, passes=passes, device=self._device)
        pictures = [torch.from_numpy(batch) for batch in batches]
        if self._device == "cuda":
            pictures = [batch.pin_memory() for batch in pictures]
        self._batches = itertools.cycle(pictures)
        self._finished = 0

    def steps(self, count: int) -> float:
        """Seconds of one step, the mean of `count`."""
        torch, began = self._torch, time.perf_counter()
        for _ in range(count):
            images = next(self._batches).to(self._device, non_blocking=True)
            with torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
                d_loss, _ = self._gan.step(images, self._finished % self._every == 0)
            self._finished += 1
        if not np.isfinite(float(d_loss)):
            raise ValueError(f"after {self._finished} steps the loss is not finite")
        return (time.perf_counter() - began) / count

    def gflop(self) -> float:
        """Not counted here."""
        return 0.0

    def peak_mb(self) -> float:
        """Most memory of the device that tensors took."""
        return self._torch.cuda.max_memory_allocated() / 1e6 if self._device == "cuda" else 0.0

    def copy_ms(self) -> float:
        """Not timed."""
        return 0.0


CONTESTANTS = {
    "ours, TF32": (Ours, {"precision": "float32", "jit": False, "steps_per_call": 1}),
    "ours, TF32, XLA": (Ours, {"precision": "float32", "jit": True, "steps_per_call": 1}),
    "ours, bfloat16": (Ours, {"precision": "bfloat16", "jit": False, "steps_per_call": 1}),
    "ours, bfloat16, XLA": (Ours, {"precision": "bfloat16", "jit": True, "steps_per_call": 1}),
    "ours, bfloat16, XLA, 16 a call": (
        Ours,
        {"precision": "bfloat16", "jit": True, "steps_per_call": 16},
    ),
    "PyTorch, TF32": (Torch, {"precision": "float32"}),
    "PyTorch, bfloat16": (Torch, {"precision": "bfloat16"}),
}


def main() -> None:
    name, config_path, pictures_path = sys.argv[1:]
    kind, options = CONTESTANTS[name]
    contestant = kind(configs.load(config_path), np.load(Path(pictures_path)), **options)

    def answer(ask: str, **arguments):
        return getattr(contestant, ask)(**arguments)

    serve(answer)


if __name__ == "__main__":
    main()
