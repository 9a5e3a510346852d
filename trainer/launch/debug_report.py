"""What was seen in the steps of a debug run, as plain values.

Owns collecting and condensing; `cli/debug.py` shows it.
"""

import os
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf


@dataclass
class Report:
    """Fills while a debug run goes on; complete at any time.

    Attributes:
        run: Address of the debug run.
        device: What it runs on, in words.
        on_gpu: Whether that is a GPU.
        variables: How many variables lie on which device.
        outputs: How many layer outputs were on which device.
        figures: Of each step: losses, seconds, memory.
    """

    run: str = ""
    device: str = ""
    on_gpu: bool = False
    variables: Counter = field(default_factory=Counter)
    outputs: Counter = field(default_factory=Counter)
    figures: list[dict[str, float]] = field(default_factory=list)
    _steps: list[dict[str, float]] = field(default_factory=list)
    _shapes: dict[str, str] = field(default_factory=dict)
    _layers: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _layer_secs: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _done: int = 0

    def placed(self, variables: list[Any]) -> None:
        """Notes where variables lie."""
        self.variables.update(_device(variable) for variable in variables)

    def begin_step(self, step: int) -> None:
        """Begins a step."""
        self._steps.append({})

    def end_step(self) -> None:
        """Counts the step as whole."""
        self._done += 1

    def part(self, name: str, result: Any, secs: float) -> None:
        """Adds to a part of the step that is under way."""
        if not self._steps:
            return
        now = self._steps[-1]
        now[name] = now.get(name, 0.0) + secs
        if isinstance(result, tf.Tensor):
            self._shapes[name] = shape_of(result)
        self._shapes.setdefault(name, "")

    def layer(self, network: str, layer: Any, result: Any, secs: float) -> None:
        """Notes one call of a layer."""
        key = (network, layer.name)
        self._layers[key] = {
            "network": network,
            "layer": layer.name,
            "kind": type(layer).__name__,
            "output": shape_of(result),
            "parameters": int(layer.count_params()),
        }
        self._layer_secs[key].append(secs)
        self.outputs[_device(result)] += 1

    def parts(self) -> list[dict[str, Any]]:
        """Returns each part in the order of the step: name, output, ms (median), steps.

        The first step warms up and is left out wherever there is another.
        """
        rows = []
        for name in self._shapes:
            secs = [step[name] for step in self._steps if name in step]
            later = [step[name] for step in self._steps[1:] if name in step]
            rows.append(
                {
                    "part": name,
                    "output": self._shapes[name],
                    "ms": round(1e3 * statistics.median(later or secs), 3),
                    "steps": len(secs),
                }
            )
        return rows

    def layers(self) -> list[dict[str, Any]]:
        """Returns each layer: network, layer, kind, output, parameters, forward ms (median)."""
        return [
            {**row, "ms": round(1e3 * statistics.median(self._layer_secs[key]), 3)}
            for key, row in self._layers.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "run": self.run,
            "device": self.device,
            "steps": self._done,
            "variables": dict(self.variables),
            "outputs": dict(self.outputs),
            "figures": self.figures,
            "parts": self.parts(),
            "layers": self.layers(),
        }


def shape_of(tensor: Any) -> str:
    """Returns `float32 [8, 32, 32, 3]`."""
    return f"{tensor.dtype.name} {list(tensor.shape)}"


def _device(tensor: Any) -> str:
    """Returns `GPU:0` or `CPU:0`."""
    inner = tensor.value if isinstance(tensor, keras.Variable) else tensor
    return ":".join(inner.device.split(":")[-2:])


def device_in_words() -> tuple[str, bool]:
    """Returns what TensorFlow computes on, and whether it is a GPU."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "0") == "1"
        return f"the CPU, {os.cpu_count()} cores, oneDNN {'on' if onednn else 'off'}", False
    physical = tf.config.list_physical_devices("GPU")[0]
    details = tf.config.experimental.get_device_details(physical)
    capability = ".".join(map(str, details.get("compute_capability", ()))) or "unknown"
    name = details.get("device_name", physical.name)
    return f"one GPU, {name} (compute capability {capability})", True


def memory_mib(on_gpu: bool) -> dict[str, float]:
    """Returns memory in use and its peak in MiB: of the GPU, or of this process."""
    if on_gpu:
        info = tf.config.experimental.get_memory_info("GPU:0")
        return {"memory_mib": info["current"] / 2**20, "peak_mib": info["peak"] / 2**20}
    import resource

    return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}
