"""Settings for somebody who has pictures and nothing else.

Owns the choice of picture size, recipe, batch and length from what the pictures and the machine
are. Pure: looking at pictures is `trainer.data.survey`'s, the config that comes of the choice
`trainer.cli.bare_pictures`'.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.data.survey import Survey
from trainer.errors import DataError

FEW_PICTURES = 1_000
"""Below this many pictures a GAN mostly repeats them."""

_SIZES_PX = {"CPU": (64, 32), "GPU": (256, 128, 64, 32)}
# Pictures shown in a run on a CPU at most: at 64 px about 50 minutes of two cores in float32.
_MOST_IMAGES_CPU = 320_000
# Beyond this a small set is only learned by heart.
_MOST_EPOCHS = 1_000
_LEAST_STEPS = 1_000
# Share of the pictures that may be lost because they are smaller than the size chosen.
_MOST_TOO_SMALL = 0.25
# A face is about so much of the shorter side of a photograph.
_FACE_SHARE = 0.35


def _rates(rate: str) -> dict[str, str]:
    return {f"{network}_optimizer.rate": rate for network in ("generator", "discriminator")}


_R3GAN = {
    "model.architecture": "r3gan",
    "model.blocks": 1,
    "augment.kinds": ["colour", "translation", "cutout"],
    "augment.strength": "0 to 0.3",
}


@dataclass(frozen=True)
class _Recipe:
    """How pictures of a size are learned: `configs/cats64.yaml`, `cats128.yaml`, `cats256.yaml`.

    Attributes:
        settings: Keys of a config and their values.
        images: Pictures shown in a run on a GPU at most.
        batch: Pictures a step.
    """

    settings: Mapping[str, Any]
    images: int
    batch: int = 64


# By the largest size they are for, px.
_RECIPES = {
    64: _Recipe({**_R3GAN, **_rates("1e-3 to 1e-4")}, 1_088_000),
    128: _Recipe({**_R3GAN, **_rates("5e-4 to 5e-5"), "ema.half_life_images": 30_000}, 3_840_000),
    256: _Recipe(
        {
            **_R3GAN,
            **_rates("2e-4 to 5e-5"),
            "model.blocks": 2,
            "model.max_channels": 256,
            "loss.r1_weight": "150 to 15",
            "loss.r2_weight": "150 to 15",
            "loss.penalty_every_steps": 1,
            "ema.half_life_images": "0 to 160000",
        },
        6_400_000,
        batch=32,
    ),
}


@dataclass(frozen=True)
class Preset:
    """The settings that depend on pictures and machine.

    Attributes:
        size_px: Width and height of a picture.
        global_batch: Pictures a step.
        steps: Of the run.
        val_fraction: Share held out.
        recipe: Further keys of a config and their values.
        too_small: Share of the pictures that are smaller than `size_px`.
    """

    size_px: int
    global_batch: int
    steps: int
    val_fraction: float
    recipe: Mapping[str, Any]
    too_small: float


def decide(survey: Survey, device: str, *, crop: str = "center", size_px: int = 0) -> Preset:
    """Chooses settings. Pure.

    Args:
        survey: What the pictures are.
        device: `CPU` or `GPU`.
        crop: How they become square.
        size_px: A size that was asked for; 0: choose one.

    Raises:
        DataError: There is no picture, or nearly all are smaller than 32 px.
    """
    if not survey.count:
        raise DataError(
            f"{survey.address} holds no pictures",
            expected="a folder, zip or tar file of JPEG, PNG, WebP or other pictures",
            remedy="give the folder that holds them",
        )
    share = _FACE_SHARE if crop in ("face", "landmarks") else 1.0
    size = size_px or _size(survey, device, share)
    recipe = _recipe(size)
    batch = _batch(survey.count, recipe)
    most_images = recipe.images if device == "GPU" else _MOST_IMAGES_CPU
    images = min(most_images, survey.count * _MOST_EPOCHS)
    # Few pictures are known by heart sooner.
    strength = {"augment.strength": "0 to 0.5"} if survey.count < FEW_PICTURES else {}
    return Preset(
        size_px=size,
        global_batch=batch,
        steps=max(_LEAST_STEPS, 100 * round(images / batch / 100)),
        val_fraction=0.05 if survey.count >= 200 else 0.0,
        recipe={**recipe.settings, **strength},
        too_small=survey.share_below(size / share),
    )


def _recipe(size_px: int) -> _Recipe:
    largest = max(_RECIPES)
    return _RECIPES[next((size for size in _RECIPES if size >= size_px), largest)]


def _size(survey: Survey, device: str, share: float) -> int:
    for size in _SIZES_PX[device]:
        if survey.share_below(size / share) <= _MOST_TOO_SMALL:
            return size
    smallest = _SIZES_PX[device][-1]
    if survey.share_below(smallest / share) < 1.0:
        return smallest
    raise DataError(
        f"the pictures in {survey.address} are too small: the middle one measures "
        f"{survey.median_px} px on its shorter side",
        expected=f"pictures of at least {round(smallest / share)} px",
        remedy="use larger pictures",
    )


def _batch(count: int, recipe: _Recipe) -> int:
    if count < 100:
        return 16
    return min(32, recipe.batch) if count < 400 else recipe.batch


def expectation(count: int) -> str:
    """Returns what to expect of fewer than `FEW_PICTURES` pictures."""
    if count < 100:
        return (
            f"expect copies: from {count:,} pictures a GAN learns these very pictures by heart "
            "and what lies between them; new ones need a thousand and more"
        )
    return (
        f"expect variations: {count:,} pictures give pictures close to single ones of them; "
        "variety begins at about a thousand and grows with every thousand more"
    )
