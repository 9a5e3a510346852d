"""The arms of the ablation: which recipe each trains, as a config and what is changed in it.

Owns the list, from the recipe of 2018 to the shipped one and around it. All networks have the
same width beside the picture, `BASE_CHANNELS`, unless an arm says otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass

BASE_CHANNELS = 16
KERAS_ADA = "keras-ada"
SHIPPED, QUICK = "cats64", "rate-1.6e-3"

_OLD_OPTIMIZERS = (
    "generator_optimizer.rate=2e-4",
    "discriminator_optimizer.rate=2e-4",
    "generator_optimizer.beta_1=0.5",
    "discriminator_optimizer.beta_1=0.5",
    "generator_optimizer.beta_2=0.999",
    "discriminator_optimizer.beta_2=0.999",
)
_NO_PENALTY = ("loss.r1_weight=0", "loss.r2_weight=0")
_NO_AVERAGE = ("ema.half_life_images=0",)
# Two cores, bfloat16, starting counted: 226 pictures a second of R3GAN's networks, 1,967 of the
# plain ones.
_R3GAN_PACE = 0.115
_NOT_AUGMENTED = ("augment.kinds=[]", "augment.strength=1")
_AUGMENTED = ("augment.kinds=[colour, translation, cutout]", "augment.strength=0 to 0.3")


@dataclass(frozen=True)
class Arm:
    """One recipe.

    Attributes:
        name: As in the table and in the names of its files.
        told: What it is, for a reader of the table.
        config: The file under `configs/` it begins with.
        changes: `KEY=VALUE` in it.
        pace: Pictures a minute in those of the plain recipe, for schedules.
    """

    name: str
    told: str
    config: str = "cats64-quick"
    changes: tuple[str, ...] = ()
    pace: float = 1.0


def _rates(value: str) -> tuple[str, ...]:
    return f"generator_optimizer.rate={value}", f"discriminator_optimizer.rate={value}"


_PLAIN = _rates("4e-4")


def _from_the_seed() -> Iterator[Arm]:
    """Yields the way from the recipe of 2018 to the shipped one, a piece at a time."""
    yield Arm("seed2018", "the tutorial of 2018 as it is", "seed2018")
    yield Arm("seed2018-fixed", "its faults mended, its recipe kept", "seed2018-fixed")
    norms = ("model.generator_norm=batch", "model.discriminator_norm=batch")
    loss = ("loss.name=non_saturating",)
    steps = (
        ("dcgan", "4×4 kernels, He initialisation, one rate of 2e-4, flips",
         (*norms, *loss, *_NO_PENALTY, *_NO_AVERAGE, *_OLD_OPTIMIZERS)),
        ("+average", "and the averaged generator", (*norms, *loss, *_NO_PENALTY, *_OLD_OPTIMIZERS)),
        ("+r1", "and R1 every 16 steps, no batch norm in D",
         (norms[0], *loss, "loss.r2_weight=0", *_OLD_OPTIMIZERS)),
        ("+no-norm", "and no batch norm in G", (*loss, "loss.r2_weight=0", *_OLD_OPTIMIZERS)),
        ("+pairing", "and relativistic pairing with R2", _OLD_OPTIMIZERS),
    )  # fmt: skip
    for name, told, changes in steps:
        yield Arm(name, told, changes=changes)
    yield Arm("plain", "and Adam at 4e-4 with betas 0 and 0.99: the plain recipe", changes=_PLAIN)


def _penalties(value: str) -> tuple[str, ...]:
    return f"loss.r1_weight={value}", f"loss.r2_weight={value}"


def _around() -> Iterator[Arm]:
    """Yields the plain recipe with one thing changed."""
    changed = {
        "norm-in-g": ("batch norm in G", ("model.generator_norm=batch",)),
        "augment": ("colour, translation, cutout, growing to 0.3", _AUGMENTED),
        "cosine": ("rates falling to a quarter, the average's half-life from 0",
                   (*_rates("4e-4 to 1e-4"), "ema.half_life_images=0 to 20000")),
        "penalty-0.3": ("R1 and R2 of weight 0.3", _penalties("0.3")),
        "penalty-3": ("R1 and R2 of weight 3", _penalties("3")),
        "penalty-falling": ("R1 and R2 from 3 to 0.3", _penalties("3 to 0.3")),
        "batch-32": ("batch 32", ("training.global_batch=32",)),
        "rate-8e-4": ("Adam at 8e-4", _rates("8e-4")),
        QUICK: ("Adam at 1.6e-3", _rates("1.6e-3")),
        "rate-3.2e-3": ("Adam at 3.2e-3", _rates("3.2e-3")),
        "fast-falling": ("Adam from 2e-3 to 4e-4, R1 and R2 from 3 to 0.3",
                         (*_rates("2e-3 to 4e-4"), *_penalties("3 to 0.3"))),
    }  # fmt: skip
    for name, (told, changes) in changed.items():
        yield Arm(name, told, changes=(*_PLAIN, *changes))


def _around_the_fast_one() -> Iterator[Arm]:
    """Yields the plain recipe at the rate that was best, with one thing more changed."""
    changed = {
        "fast-augment": ("colour, translation, cutout, growing to 0.3", _AUGMENTED),
        "fast-cosine": ("rates falling to an eighth", _rates("1.6e-3 to 2e-4")),
        "fast-penalty-3": ("R1 and R2 of weight 3", _penalties("3")),
        "fast-norm": ("batch norm in G", ("model.generator_norm=batch",)),
        "fast-low-pass": ("low-pass doubling in G", ("model.upsampling=low_pass",)),
        "fast-batch-32": ("batch 32", ("training.global_batch=32",)),
        "fast-batch-128": ("batch 128", ("training.global_batch=128",)),
        "fast-simultaneous": ("both updates from one pass", ("training.update=simultaneous",)),
        "fast-wide": ("24 base channels", ("model.base_channels=24",)),
        "fast-wider": ("32 base channels", ("model.base_channels=32",)),
        "fast-narrow": ("8 base channels", ("model.base_channels=8",)),
        "fast-resnet": ("residual networks", ("model.architecture=resnet",)),
        "fast-r3gan": ("R3GAN's networks, one block a size",
                       ("model.architecture=r3gan", "model.blocks=1")),
        "fast-non-saturating": ("non-saturating loss", ("loss.name=non_saturating",)),
        "fast-hinge": ("hinge loss", ("loss.name=hinge",)),
        "fast-ralsgan": ("relativistic average least squares", ("loss.name=relativistic_average",)),
        "fast-ada": (
            "non-saturating, the same pieces, adaptive",
            ("loss.name=non_saturating", _AUGMENTED[0],
             "augment.strength=adaptive", "augment.adaptive_images=200000"),
        ),
        "fast-spectral": ("hinge, spectral norm, no penalty",
                          ("loss.name=hinge", "model.spectral_norm=true", *_NO_PENALTY)),
        "fast-wgan-gp": (
            "Wasserstein, gradient penalty 10 in every step",
            ("loss.name=wasserstein", *_NO_PENALTY, "loss.gradient_penalty_weight=10",
             "loss.penalty_every_steps=1"),
        ),
    }  # fmt: skip
    for name, (told, changes) in changed.items():
        yield Arm(name, f"Adam at 1.6e-3; {told}", changes=(*_rates("1.6e-3"), *changes))


def _for_few_pictures() -> Iterator[Arm]:
    """Yields what may help where the discriminator knows its pictures by heart."""
    changed = {
        "few": ("nothing augmented", ()),
        "few-ramp": ("colour, translation, cutout, growing to 0.5",
                     (_AUGMENTED[0], "augment.strength=0 to 0.5")),
        "few-ramp-all": ("those and geometric, growing to 0.5",
                         ("augment.kinds=[colour, translation, cutout, geometric]",
                          "augment.strength=0 to 0.5")),
        "few-ada": ("non-saturating; colour, translation, cutout, adaptive",
                    ("loss.name=non_saturating", _AUGMENTED[0], "augment.strength=adaptive",
                     "augment.adaptive_images=200000")),
        "few-ada-all": ("non-saturating; those and geometric, adaptive",
                        ("loss.name=non_saturating",
                         "augment.kinds=[colour, translation, cutout, geometric]",
                         "augment.strength=adaptive", "augment.adaptive_images=200000")),
    }  # fmt: skip
    for name, (told, changes) in changed.items():
        yield Arm(name, f"Adam at 1.6e-3; {told}", changes=(*_rates("1.6e-3"), *changes))


def _to_the_shipped_one() -> Iterator[Arm]:
    """Yields the rest of the way: R3GAN's networks, then falling rates, then augmentation."""
    networks = "R3GAN's networks, one block a size; Adam"
    steps = (
        ("r3gan", f"{networks} at 1e-3", (*_rates("1e-3"), *_NOT_AUGMENTED)),
        ("r3gan-falling", f"{networks} from 1e-3 to 1e-4", _NOT_AUGMENTED),
        (SHIPPED, f"{networks} from 1e-3 to 1e-4; colour, translation, cutout, growing to 0.3", ()),
    )
    for name, told, changes in steps:
        yield Arm(name, told, "cats64", changes, _R3GAN_PACE)


ARMS = {
    arm.name: arm
    for arm in [
        *_from_the_seed(),
        *_around(),
        *_around_the_fast_one(),
        *_to_the_shipped_one(),
        *_for_few_pictures(),
        Arm(KERAS_ADA, "the Keras example of adaptive augmentation, its own widths and batch", ""),
    ]
}
SCREENED = tuple(name for name in ARMS if name != KERAS_ADA and not name.startswith("few"))
