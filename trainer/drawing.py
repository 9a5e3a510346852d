"""Pictures from a trained generator, in bounded memory.

Owns which generator an address means and the files that pictures become. What
a seed means and in which batch shape it is drawn is in `trainer.gan.sampling`.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer import shipped, storage
from trainer.errors import CheckpointError, ConfigError
from trainer.gan import sampling
from trainer.run_folder import names, split_run_address

log = logging.getLogger("catgan")

MAX_GRID_PICTURES = 1024
"""A grid is held in memory as a whole, so it has a limit; single pictures have none."""

FRAMES_BETWEEN = 8
"""Pictures from one seed to the next, the first of the two included."""

# The strip of an interpolation is held in memory as a whole, like a grid.
_MOST_PAIRS = MAX_GRID_PICTURES // FRAMES_BETWEEN

_SAVED_NAME = "catgan_generator_"


@dataclass(frozen=True)
class Generator:
    """An averaged generator, ready to draw.

    Attributes:
        origin: Address of what it was read from.
        latent_dim: Numbers in a latent vector.
        distribution: Of its latents, `normal` or `uniform`.
        scale: Its pictures are in [-scale, scale].
        draw: float32 `[DRAW_BATCH, latent_dim]` to pictures `[DRAW_BATCH, H, W, 3]`.
    """

    origin: str
    latent_dim: int
    distribution: str
    scale: float
    draw: Callable[[np.ndarray], np.ndarray]

    def pictures(self, latents: np.ndarray, slots: list[int] | None = None) -> np.ndarray:
        """Returns uint8 `[n, H, W, 3]`; see `sampling.draw_pictures`."""
        return sampling.draw_pictures(self.draw, latents, scale=self.scale, slots=slots)


@dataclass(frozen=True)
class GenerateOptions:
    """What to draw.

    Attributes:
        count: Pictures, of the seeds `seed`, `seed` + 1 and so on.
        seed: The first seed.
        grid: Also write all of them as `grid.png`.
        interpolate: Write the way from each seed to the next instead of single pictures.
        truncation: Redraw latents beyond plus or minus this; None: never.
    """

    count: int = 64
    seed: int = 0
    grid: bool = False
    interpolate: bool = False
    truncation: float | None = None


def generate(address: str, out: str, wish: GenerateOptions) -> list[str]:
    """Draws pictures and writes them into a folder.

    Args:
        address: A run, a checkpoint, or a `.keras` file; folder or bucket.
        out: Folder or bucket prefix for `seed-000000123.png`, `grid.png`,
            `interpolation-0000.png` and `interpolation.png`.
        wish: What to draw.

    Returns:
        Names of the files written, in order.

    Raises:
        ConfigError: The wish makes no sense, or not for this generator.
        CheckpointError: There is no generator at the address, or it is damaged.
        StorageError: An address cannot be reached.
    """
    _check(wish)
    folder = storage.open_folder(out)
    generator = open_generator(address)
    sampling.check_truncation(wish.truncation, generator.distribution)
    log.info("drawing from %s", generator.origin)
    write = _interpolation if wish.interpolate else _single_pictures
    return list(write(generator, folder, wish))


def open_generator(address: str) -> Generator:
    """Reads the averaged generator of a run, of a checkpoint, or of a `.keras` file.

    Raises:
        CheckpointError: There is none, or it is damaged.
        StorageError: The address cannot be reached.
    """
    address = str(address).rstrip("/")
    if address == shipped.WORD:
        # No checkpoint lies beside it.
        address = storage.join(shipped.resolved(address), names.GENERATOR)
    if address.endswith(".keras"):
        return _from_keras_file(address)
    run_address, step = split_run_address(address)
    try:
        return _from_checkpoint(address)
    except CheckpointError as error:
        if step is not None or not storage.open_folder(run_address).exists(names.GENERATOR):
            raise
        log.warning("%s; taking %s instead", error.what, names.GENERATOR)
        return _from_keras_file(storage.join(run_address, names.GENERATOR))


def _check(wish: GenerateOptions) -> None:
    if wish.count < 1:
        raise ConfigError(f"count {wish.count}", expected="1 or more", remedy="--count 64")
    if wish.seed < 0:
        raise ConfigError(f"seed {wish.seed}", expected="0 or more", remedy="--seed 0")
    if wish.grid and wish.count > MAX_GRID_PICTURES:
        raise ConfigError(
            f"a grid of {wish.count:,} pictures",
            expected=f"at most {MAX_GRID_PICTURES:,}, because it is held in memory as a whole",
            remedy="lower --count, or leave --grid out",
        )
    if wish.interpolate and wish.grid:
        raise ConfigError(
            "an interpolation with --grid",
            expected="one of them: an interpolation is a strip of its own",
            remedy="leave --grid out",
        )
    if wish.interpolate and wish.count < 2:
        raise ConfigError(
            "an interpolation of one picture", expected="--count 2 or more", remedy="--count 8"
        )


def _from_checkpoint(address: str) -> Generator:
    from trainer import checkpoint
    from trainer.checkpoint.networks import config_of, fill
    from trainer.gan.networks import build_generator

    found = checkpoint.open_address(address, prefixes=("ema/",))
    config = config_of(found)
    model = build_generator(config.model, config.dataset.size_px)
    fill(model, "ema", found.load(("ema/",)), found)
    settings = config.model
    return Generator(
        found.address,
        settings.latent_dim,
        settings.latent_distribution,
        settings.picture_scale,
        _compiled(model),
    )


def keras_model(address: str) -> Any:
    """Loads a `.keras` file that holds nothing but Keras' own layers.

    Raises:
        CheckpointError: It is not there, is no model, or asks for foreign code.
    """
    import keras

    from trainer.gan.export import foreign_objects

    where, name = storage.split_address(address)
    with tempfile.TemporaryDirectory(prefix="catgan-") as scratch:
        path = Path(scratch) / names.GENERATOR
        try:
            storage.open_folder(where).download(name, path)
        except storage.NotFound as error:
            raise _no_generator(address, "is not there") from error
        foreign = foreign_objects(path)
        if foreign:
            raise _no_generator(
                address, f"asks for code that is not Keras' own: {', '.join(foreign[:3])}"
            )
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises whatever the broken file leads it to
            raise _no_generator(address, f"is no Keras model: {error}") from error


def _from_keras_file(address: str) -> Generator:
    model = keras_model(address)
    distribution = model.name.removeprefix(_SAVED_NAME)
    if distribution not in ("normal", "uniform"):
        raise _no_generator(address, f"holds a model named {model.name!r}")
    if len(model.input_shape) != 2 or len(model.output_shape) != 4:
        raise _no_generator(address, f"maps {model.input_shape} to {model.output_shape}")
    return Generator(address, int(model.input_shape[1]), distribution, 1.0, _compiled(model))


def _no_generator(address: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{address} {why}",
        expected="the generator.keras of a finished run",
        remedy="give the address of a run, of a checkpoint or of its generator.keras",
    )


def _compiled(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """One traced function of one shape, so that every batch is computed alike."""
    import tensorflow as tf

    shape = tf.TensorSpec((sampling.DRAW_BATCH, model.input_shape[1]), tf.float32)

    @tf.function(input_signature=[shape])
    def draw(latents: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(tf.cast(latents, model.input.dtype), training=False), tf.float32)

    return lambda latents: draw(tf.constant(latents, tf.float32)).numpy()


def _single_pictures(
    generator: Generator, folder: storage.Folder, wish: GenerateOptions
) -> Iterator[str]:
    kept = []
    for seeds in _aligned(wish.seed, wish.count):
        latents = sampling.latents_from_seeds(
            seeds, generator.latent_dim, generator.distribution, truncation=wish.truncation
        )
        pictures = generator.pictures(latents, [sampling.slot_of(seed) for seed in seeds])
        yield from _write(folder, [f"seed-{seed:09d}.png" for seed in seeds], pictures)
        if wish.grid:
            kept.append(pictures)
    if wish.grid:
        yield from _write(folder, ["grid.png"], [sampling.grid(np.concatenate(kept))])


def _aligned(first: int, count: int) -> Iterator[range]:
    """Yields the seeds in runs that each fit one batch, every seed in its own slot."""
    start, end = first, first + count
    while start < end:
        stop = min(end, (start // sampling.DRAW_BATCH + 1) * sampling.DRAW_BATCH)
        yield range(start, stop)
        start = stop


def _interpolation(
    generator: Generator, folder: storage.Folder, wish: GenerateOptions
) -> Iterator[str]:
    """Frames from each seed to the next, and a strip with a row for each pair."""
    rows: list[np.ndarray] = []
    number = 0
    for seed in range(wish.seed, wish.seed + wish.count - 1):
        first, last = sampling.latents_from_seeds(
            (seed, seed + 1),
            generator.latent_dim,
            generator.distribution,
            truncation=wish.truncation,
        )
        is_last_pair = seed == wish.seed + wish.count - 2
        steps = np.arange(FRAMES_BETWEEN + is_last_pair) / FRAMES_BETWEEN
        latents = sampling.interpolate(first, last, steps, generator.distribution)
        pictures = generator.pictures(latents)
        numbers = range(number, number := number + len(pictures))
        yield from _write(folder, [f"interpolation-{n:04d}.png" for n in numbers], pictures)
        # One more than is shown: it begins with the last shown pair's end.
        if len(rows) <= _MOST_PAIRS:
            rows.append(pictures)
    pairs = wish.count - 1
    if pairs > _MOST_PAIRS:
        log.info("interpolation.png shows the first %d of %d pairs", _MOST_PAIRS, pairs)
    yield from _write(folder, ["interpolation.png"], [_strip(rows)])


def _strip(rows: list[np.ndarray]) -> np.ndarray:
    """Lays each pair's frames in a row, its end at the right, uint8 `[H, W, 3]`."""
    ends = [*(following[0] for following in rows[1:]), rows[-1][-1]]
    full = [
        np.concatenate([row[:FRAMES_BETWEEN], end[None]])
        for row, end in zip(rows[:_MOST_PAIRS], ends, strict=False)
    ]
    return sampling.grid(np.concatenate(full), columns=FRAMES_BETWEEN + 1)


def _write(
    folder: storage.Folder, file_names: list[str], pictures: Sequence[np.ndarray] | np.ndarray
) -> list[str]:
    """Encodes and writes one batch; side by side, for a bucket answers slowly."""
    with ThreadPoolExecutor(8, thread_name_prefix="pictures") as pool:
        pngs = pool.map(sampling.png_bytes, pictures)
        list(pool.map(folder.write, file_names, pngs))
    return file_names
