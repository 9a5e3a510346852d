"""Every pair of choices of the recipe in one of at most 60 configs.

Owns the choices and the rows that cover their pairs; what a row has to survive stands in
`tests/gan/test_pairs.py` and `tests/test_pairs_on_workers.py`.
"""

import functools
import itertools
import random

from trainer import config as configs
from trainer.errors import ConfigError

AXES = {
    "model.architecture": ["dcgan", "resnet", "r3gan", "seed2018"],
    "model.generator_norm": ["none", "batch"],
    "model.discriminator_norm": ["none", "batch"],
    "model.spectral_norm": ["false", "true"],
    "model.upsampling": ["transposed", "low_pass"],
    "model.latent_distribution": ["normal", "uniform"],
    "loss.name": [
        "relativistic_pairing",
        "hinge",
        "wasserstein",
        "non_saturating",
        "least_squares",
        "relativistic_average",
    ],
    "loss.r1_weight": ["0", "2 to 0.2"],
    "loss.r2_weight": ["0", "1"],
    "loss.gradient_penalty_weight": ["0", "10 to 1 linear"],
    "training.update": ["alternating", "simultaneous"],
    "training.micro_batch": ["0", "2"],
    "training.discriminator_updates": ["1", "2"],
    "augment.kinds": ["[]", "[colour, cutout]", "[translation, geometric]"],
    "augment.strength": ["0.5", "0 to 1", "adaptive"],
    "generator_optimizer.clip_norm": ["0", "1"],
    "discriminator_optimizer.clip_norm": ["0", "1"],
    "discriminator_optimizer.rate": ["4e-4", "4e-4 to 1e-4"],
    "ema.half_life_images": ["0", "0 to 100"],
    "precision": ["float32", "bfloat16", "float16"],
}
SMALL = [
    "dataset.size_px=32",
    "model.base_channels=2",
    "model.max_channels=4",
    "model.group_width=2",
    "model.latent_dim=4",
    "training.global_batch=12",
    "dataset.lanes=3",
    "training.steps=8",
    "loss.penalty_every_steps=2",
    "augment.adaptive_every_steps=1",
    "augment.adaptive_images=40",
    # A bias before batch norm has no gradient but rounding, which a smaller one would divide by.
    "generator_optimizer.epsilon=1e-6",
    "discriminator_optimizer.epsilon=1e-6",
]
MOST_ROWS, TRIES = 60, 400
# What every other choice goes with, where it goes with anything.
NEUTRAL = {"loss.name": "hinge", "augment.kinds": "[colour, cutout]"}


def words(row):
    return [*SMALL, *(f"{key}={value}" for key, value in row.items())]


def allowed(row, workers=1):
    try:
        configs.from_text("", [*words(row), f"cluster.workers={workers}"])
    except ConfigError:
        return False
    return True


def pairs(row):
    return set(itertools.combinations(row.items(), 2))


@functools.cache
def covering_rows(workers=1):
    """Rows, and the pairs that no config of so many workers has.

    Greedy: of some completions of a pair the richest.

    The generators of pairs that are kept on PyPI were tried: with so many refused combinations
    they leave out pairs that are allowed.
    """
    dice, found, refused = random.Random(0), [], []
    wanted = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(AXES, 2)
        for a in AXES[one]
        for b in AXES[other]
    }
    for pair in sorted(wanted):
        if pair not in wanted:
            continue
        tries = ({key: dice.choice(values) for key, values in AXES.items()} for _ in range(TRIES))
        rows = [row for row in ({**one, **dict(pair)} for one in tries) if allowed(row, workers)]
        if not rows:
            refused.append(pair)
            wanted.discard(pair)
            continue
        best = max(rows, key=lambda row: len(pairs(row) & wanted))
        found.append(best)
        wanted -= pairs(best)
    return found, refused
