"""`generator.keras`: the averaged generator, for use without this package.

Owns the file's making only; what is in it is plain Keras. Reading it needs
`keras.saving.load_model` and nothing else.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from trainer.run_folder import names
from trainer.storage import Folder

# What a generator is built of. Keras' safe mode also lets through functions of its own that
# fetch files, if a config names them as a class.
_MODULES = ("keras.layers", "keras.initializers", "keras.src.models.functional", "keras")
_OF_KERAS = ("DTypePolicy", "Sequential")


def foreign_objects(path: Path) -> list[str]:
    """Returns what a `.keras` file names that is no layer, initializer or model of Keras.

    Loading such a thing could run code of whoever made the file.

    Args:
        path: Of the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError):
        return []  # Keras says what is wrong with it
    return sorted({name for module, name in _named(config) if not _is_plain(module, name)})


def _named(config: Any) -> Iterator[tuple[str | None, str]]:
    """Yields module and name of everything that would be looked up."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            module = config.get("module")
            yield (str(module) if module is not None else None), config["class_name"]
        for value in config.values():
            yield from _named(value)
    elif isinstance(config, list):
        for value in config:
            yield from _named(value)


def _is_plain(module: str | None, name: str) -> bool:
    if module is None:
        return name == "__keras_tensor__"
    if module == "keras":
        return name in _OF_KERAS
    if module not in _MODULES or "Lambda" in name:
        return False
    return name == "Functional" or isinstance(_looked_up(module, name), type)


def _looked_up(module: str, name: str) -> Any:
    return getattr({"keras.layers": keras.layers}.get(module, keras.initializers), name, None)


def save_generator(generator: keras.Model, folder: Folder, picture_scale: float = 1.0) -> None:
    """Writes the averaged generator of a finished run into its folder.

    Args:
        generator: Latents `[n, latent_dim]` to pictures `[n, H, W, 3]` in
            [-picture_scale, picture_scale].
        folder: The run folder.
        picture_scale: Divided out, so that the saved model draws in [-1, 1].
    """
    # Built layers hold mirrored variables under several workers; a clone holds plain ones.
    plain = keras.models.clone_model(generator, clone_function=_built_in)
    plain.set_weights(generator.get_weights())
    if picture_scale != 1.0:
        pictures = keras.layers.Rescaling(1.0 / picture_scale, name="full_range")(plain.output)
        plain = keras.Model(plain.input, pictures, name=plain.name)
    with tempfile.TemporaryDirectory(prefix="catgan-") as scratch:
        path = Path(scratch) / names.GENERATOR
        plain.save(path)
        folder.upload(names.GENERATOR, path)


def _built_in(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A new layer like it, of Keras' own kind where it only stands in for one."""
    kind = getattr(layer, "stands_for", type(layer))
    return kind.from_config(layer.get_config())
