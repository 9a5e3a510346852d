"""`generator.keras`: the averaged generator, for use without this package.

Owns the file's making only; what is in it is plain Keras. Reading it needs
`keras.saving.load_model` and nothing else.
"""

import tempfile
from pathlib import Path

import keras

from trainer.run_folder import names
from trainer.storage import Folder


def save_generator(generator: keras.Model, folder: Folder) -> None:
    """Writes the averaged generator of a finished run into its folder.

    Args:
        generator: Latents `[n, latent_dim]` to pictures `[n, H, W, 3]` in [-1, 1].
        folder: The run folder.
    """
    # Built layers hold mirrored variables under several workers; a clone holds plain ones.
    plain = keras.models.clone_model(generator)
    plain.set_weights(generator.get_weights())
    with tempfile.TemporaryDirectory(prefix="catgan-") as scratch:
        path = Path(scratch) / names.GENERATOR
        plain.save(path)
        folder.upload(names.GENERATOR, path)
