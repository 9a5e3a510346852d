"""`generator.keras`: the averaged generator, for use without this package.

Owns the file's making only; what is in it is plain Keras. Reading it needs
`keras.saving.load_model` and nothing else.
"""

import tempfile
from pathlib import Path

import keras

from trainer.run_folder import names
from trainer.storage import Folder


def save_generator(generator: keras.Model, folder: Folder, picture_scale: float = 1.0) -> None:
    """Writes the averaged generator of a finished run into its folder.

    Args:
        generator: Latents `[n, latent_dim]` to pictures `[n, H, W, 3]` in
            [-picture_scale, picture_scale].
        folder: The run folder.
        picture_scale: Divided out, so that the saved model draws in [-1, 1].
    """
    # Built layers hold mirrored variables under several workers; a clone holds plain ones.
    plain = keras.models.clone_model(generator)
    plain.set_weights(generator.get_weights())
    if picture_scale != 1.0:
        pictures = keras.layers.Rescaling(1.0 / picture_scale, name="full_range")(plain.output)
        plain = keras.Model(plain.input, pictures, name=plain.name)
    with tempfile.TemporaryDirectory(prefix="catgan-") as scratch:
        path = Path(scratch) / names.GENERATOR
        plain.save(path)
        folder.upload(names.GENERATOR, path)
