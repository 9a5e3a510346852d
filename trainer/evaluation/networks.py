"""Feature networks: which there are, and how pictures become what a network takes.

Owns what stands behind the names of `spelling.py`: everything that a number depends on besides
the pictures, which are network, weights, input size, resizer and the coarseness at which it looks.
The networks themselves come from `efficientnet.py`, `inception.py`, Keras or a file.
"""

import contextlib
import difflib
import hashlib
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import ConfigError, DataError
from trainer.evaluation import efficientnet, inception, scale, spelling
from trainer.evaluation.spelling import EFFICIENTNET, INCEPTION
from trainer.gan.export import foreign_objects

BATCH = 32
# What networks of ImageNet take where they do not say.
_USUAL_PX = 224
_RESIZER = "bilinear, antialiased"


@dataclass(frozen=True)
class FeatureNetwork:
    """Turns pictures into rows of numbers.

    Attributes:
        name: As it stands beside every number it gives, such as `efficientnet-lite0@16px`.
        weights_sha256: Of the weights' file, or of all weights where Keras brought them.
        resizer: How a picture gets the network's size.
        width: Numbers in a row.
        coarse_px: Pictures are first reduced to this height and width; 0: they are not.
        call: float32 `[BATCH, H, W, 3]` in 0..255 to `[BATCH, width]`.
    """

    name: str
    weights_sha256: str
    resizer: str
    width: int
    coarse_px: int
    call: Callable[[tf.Tensor], tf.Tensor]

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Returns float32 `[n, width]` of uint8 pictures `[n, H, W, 3]`."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise DataError(
                f"pictures are {pictures.dtype} {list(pictures.shape)}",
                expected="uint8 [n, H, W, 3]: numbers are comparable only after rounding",
            )
        rows = np.empty((len(pictures), self.width), np.float32)
        with _whole_products():
            for begin in range(0, len(pictures), BATCH):
                part = pictures[begin : begin + BATCH]
                # Always the same shape, so that a row does not depend on how many came with it.
                full = np.zeros((BATCH, *part.shape[1:]), np.uint8)
                full[: len(part)] = part
                rows[begin : begin + len(part)] = self._prepared(full)[: len(part)]
        return rows

    def _prepared(self, pictures: np.ndarray) -> np.ndarray:
        images = tf.cast(tf.constant(pictures), tf.float32)
        if self.coarse_px:
            images = _resize(images, self.coarse_px)
        return self.call(images).numpy()


@contextlib.contextmanager
def _whole_products() -> Iterator[None]:
    """Products with all of float32's digits: a GPU takes ten of 23 bits unasked (TF32).

    Features of real pictures are kept and used again, maybe by a process without the GPU.
    """
    experimental = tf.config.experimental
    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)


def expanded(specs: Sequence[str], size_px: int) -> tuple[str, ...]:
    """Returns the names with `auto` replaced by what can judge pictures of a size here."""
    names: list[str] = []
    for spec in specs:
        names += _passed(size_px) if spec == "auto" else [spec]
    return tuple(dict.fromkeys(names))


def _passed(size_px: int) -> list[str]:
    """The first network here that has passed its ladder, at every scale at which it has.

    Where none has, one that is here, whole: its verdict stands beside its figures.
    """
    here = [INCEPTION] if inception.here() else []
    here += [EFFICIENTNET] if efficientnet.installed() else []
    passed = (scale.passing(name, size_px) for name in here)
    return next(filter(None, passed), here[-1:] or [INCEPTION])


def find(spec: str) -> FeatureNetwork:
    """Returns the network of a name; see `trainer.evaluation.spelling`.

    Raises:
        ConfigError: No such network, or it is not to be had here.
        DataError: Its file is not what it should be.
    """
    name, coarse_px = spelling.split(spec)
    label = f"{name}@{coarse_px}px" if coarse_px else name
    if name == INCEPTION or name.startswith(f"{INCEPTION}:"):
        call = inception.load(name.partition(":")[2])
        label = label.replace(name, INCEPTION)
        inside = "inside the graph (bilinear to 299 px, TensorFlow 1)"
        return FeatureNetwork(label, inception.SHA256, inside, inception.WIDTH, coarse_px, call)
    if name == EFFICIENTNET:
        model, digest = efficientnet.build(), efficientnet.sha256()
        size_px, affine = efficientnet.SIZE_PX, (1.0, 0.0)
    elif name.startswith("keras:"):
        model, digest, size_px, affine = _application(name.removeprefix("keras:"))
    else:
        model, digest, size_px, affine = _file(Path(name))
        label = label.replace(name, Path(name).name)
    resizer = f"{_RESIZER}, to {size_px} px"
    return FeatureNetwork(
        label, digest, resizer, model.output_shape[1], coarse_px, _call(model, size_px, affine)
    )


def _resize(images: tf.Tensor, size_px: int) -> tf.Tensor:
    if images.shape[1] == images.shape[2] == size_px:
        return images
    return tf.image.resize(images, [size_px, size_px], "bilinear", antialias=True)


def _call(model: keras.Model, size_px: int, affine: tuple[float, float]) -> Callable:
    """One traced function of resizing, scaling and the network."""

    @tf.function(reduce_retracing=True)
    def call(images: tf.Tensor) -> tf.Tensor:
        return model(_resize(images, size_px) * affine[0] + affine[1], training=False)

    return call


# A model, the hash of its weights, its input size and what its input is made of 0..255 by.
_Found = tuple[keras.Model, str, int, tuple[float, float]]


def _application(name: str) -> _Found:
    """A network of `keras.applications`; its own preprocessing is a layer in front of it."""
    make = getattr(keras.applications, name, None)
    if not callable(make):
        known = [n for n in dir(keras.applications) if n[0].isupper()]
        close = difflib.get_close_matches(name, known, 1) or ["MobileNetV2"]
        raise ConfigError(
            f"keras.applications has no {name!r}",
            expected=f"one of {', '.join(known)}",
            remedy=f"--features keras:{close[0]}",
        )
    size_px = 299 if name in ("InceptionV3", "InceptionResNetV2", "Xception") else _USUAL_PX
    try:
        model = make(include_top=False, pooling="avg", input_shape=(size_px, size_px, 3))
    except Exception as error:  # what Keras raises where nothing can be downloaded
        raise ConfigError(
            f"the weights of {name} cannot be had: {str(error)[:200]}",
            expected="Keras' weights in ~/.keras/models, or a way to download them",
            remedy=f"name another: {spelling.CHOICES}",
        ) from error
    prepare = sys.modules[make.__module__].preprocess_input
    pictures = keras.Input((size_px, size_px, 3))
    whole = keras.Model(pictures, model(keras.layers.Lambda(prepare)(pictures)))
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return whole, digest.hexdigest(), size_px, (1.0, 0.0)


def _file(path: Path) -> _Found:
    """A classifier or feature network that Keras saved: what its last layers judge by."""
    if not path.is_file():
        raise ConfigError(
            f"{path} is not there",
            expected="a .keras or .h5 file of Keras",
            remedy="check the path: it is a file of this machine",
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if zipfile.is_zipfile(path) and (foreign := foreign_objects(path)):
        raise DataError(
            f"{path} asks for code that is not Keras' own: {', '.join(foreign[:3])}",
            expected="built-in layers only",
            remedy="save the model without that layer, or name another network",
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the broken file leads it to
        raise DataError(
            f"{path} is no Keras model: {str(error)[:300]}",
            expected="what model.save of Keras 3 wrote, whole",
            remedy="save it again, or name another network",
        ) from error
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3:
        raise DataError(
            f"{path} takes {shape}",
            expected="pictures [n, H, W, 3]",
            remedy="name a network of one input, pictures in colour with the channels last",
        )
    size_px = shape[1] or _USUAL_PX
    return _pooled(model), digest, size_px, _scale(model)


def _pooled(model: keras.Model) -> keras.Model:
    """The model, pooled, if it ends in a map; else up to its last global pooling or Dense layer."""
    if isinstance(model, keras.Sequential):
        # One that was never called has no output of its own, only the chain inside it has.
        model = keras.Model(model.inputs[0], model.outputs[0])
    kinds = (
        keras.layers.GlobalAveragePooling2D,
        keras.layers.GlobalMaxPooling2D,
    )
    pools = [layer for layer in model.layers if isinstance(layer, kinds)]
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    output = model.outputs[0]
    # Before a map the last pooling is one inside a block (squeeze and excitation).
    if len(output.shape) != 4:
        output = pools[-1].output if pools else dense[-1].input if dense else output
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D()(output)
    elif len(output.shape) != 2:
        output = keras.layers.Flatten()(output)
    return keras.Model(model.input, output)


def _scale(model: Any) -> tuple[float, float]:
    """0..255 as it is where a layer of the model scales; else -1..1, as most such networks want."""
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    layers = model._flatten_layers(include_self=False)
    return (1.0, 0.0) if any(isinstance(x, kinds) for x in layers) else (1 / 127.5, -1.0)
