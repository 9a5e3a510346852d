"""Signs that a run goes wrong: numbers in, diagnoses out. Pure.

Owns what is taken for a sign, and when it is told: once, and again only after it had gone. Does
not stop or change anything. The limits are far from where a healthy run is: after 3,000 steps of
`configs/debug.yaml` D's loss at its margin is 60 % of that of a guess (limit 10 %), the largest
kernel 0.14 in the root mean square (limit 10), and D sees the pictures differ 90 % as much as real
ones (limit 25 %; 80 % after 2,930 steps of `configs/cats64.yaml`).
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# Rows of figures that are looked at together: one bad batch is no sign.
WINDOW = 10
# D's loss as a share of that of a guess. Below it the generator's gradient is next to nothing.
D_WINS_SHARE = 0.1
# Root mean square of a layer's kernel. They begin below 1 (He) and their worth is relative; ten
# is where one layer's outputs drown what half precision can tell apart.
LARGE_RMS = 10.0
# Mean distance between generated pictures as a share of that between real ones, in D's features.
COLLAPSED_SHARE = 0.25
# Before so many pictures were seen all drawn ones are alike by right.
COLLAPSE_AFTER_IMAGES = 50_000
# Standard errors by which a distance must be worse than the best, twice in a row.
WORSE_ERRORS = 3.0


@dataclass(frozen=True)
class Diagnosis:
    """A sign.

    Attributes:
        name: Of the sign, one word.
        saw: What was seen, with its values.
        may_mean: What it may mean.
        try_this: What to try.
    """

    name: str
    saw: str
    may_mean: str
    try_this: str

    def __str__(self) -> str:
        return f"{self.saw}\n  may mean: {self.may_mean}\n  try: {self.try_this}"


def discriminator_wins(
    d_losses: Sequence[float], guess: float, margin: float, *, of_pairs: bool
) -> Diagnosis | None:
    """Looks at D's loss over some rows.

    Args:
        d_losses: Of the last rows, above the least that this loss can be; of a loss of pairs what
            it is at each row's mean margin.
        guess: The same where D answers alike to everything; not above 0: this loss has none.
        margin: Mean logit of real pictures less that of generated ones, for the message.
        of_pairs: Whether the losses are those at the mean margins.
    """
    if guess <= 0 or len(d_losses) < WINDOW:
        return None
    share = statistics.fmean(d_losses) / guess
    # Not `>=`: a loss that is no number is no victory.
    if not share < D_WINS_SHARE:
        return None
    return Diagnosis(
        "discriminator_wins",
        f"D's loss{' at its mean margin' if of_pairs else ''} is {share:.1%} of that of a guess "
        f"over the last {len(d_losses)} rows, its margin between real and generated pictures "
        f"{margin:.3g}",
        "the discriminator knows the training pictures by heart, or learns faster than the "
        "generator can follow; what the generator is taught is next to nothing",
        "a larger loss.r1_weight; a lower discriminator_optimizer.rate; in a new run "
        "augment.kinds=[colour,translation,cutout], or a greater augment.strength; more pictures",
    )


def exploding(rms_by_layer: dict[str, float]) -> Diagnosis | None:
    """Looks at the root mean square of every kernel."""
    large = {name: rms for name, rms in rms_by_layer.items() if not rms < LARGE_RMS}
    if not large:
        return None
    worst = max(large, key=lambda name: large[name])
    return Diagnosis(
        "exploding_weights",
        f"the weights of {len(large)} layers are large, most of all {worst}: {large[worst]:.3g} "
        "in the root mean square",
        "rates are too high for this batch, or nothing holds the discriminator back",
        "lower rates; loss.r1_weight above 0; discriminator_optimizer.clip_norm=1; in a new run of "
        "other networks than r3gan model.spectral_norm=true",
    )


def skipping(scales: dict[str, float], least: float) -> Diagnosis | None:
    """Looks at the loss scales of float16.

    At the least scale gradients that overflow can only be skipped: losses stay finite, and nothing
    is learnt.

    Args:
        scales: By network; none with other precisions.
        least: That they may fall to.
    """
    floor = [name.upper() for name, scale in scales.items() if scale <= least]
    if not floor:
        return None
    return Diagnosis(
        "skipped_updates",
        f"the loss scale of {' and '.join(floor)} has fallen to {least:g}, and updates "
        "whose gradients are not finite are skipped",
        "gradients are larger than float16 can hold, whatever they are multiplied by",
        "precision=bfloat16 or float32; a smaller weight of the penalties",
    )


def spread(features: np.ndarray) -> float:
    """Mean distance between rows `[n, d]`, n > 1: of all pairs, in the root mean square."""
    # The mean squared distance of two different rows is twice the unbiased variance, summed.
    return float(np.sqrt(2.0 * features.astype(np.float64).var(axis=0, ddof=1).sum()))


def collapsed(fake: np.ndarray, real: np.ndarray, images_seen: int) -> Diagnosis | None:
    """Compares the `spread` of the fixed latents' pictures with that of real ones.

    Args:
        fake, real: D's features of them, `[n, d]` and `[m, d]`: a network that can judge need not
            be at hand, and a generator that has collapsed is one whose pictures D sees alike.
        images_seen: By the run.
    """
    usual = spread(real)
    if images_seen < COLLAPSE_AFTER_IMAGES or usual <= 0:
        return None
    share = spread(fake) / usual
    # Not `>=`: what is no number is another sign's.
    if not share < COLLAPSED_SHARE:
        return None
    return Diagnosis(
        "collapse",
        f"the pictures of the fixed latents differ {share:.0%} as much as real ones do, as D sees "
        "them",
        "the generator draws few pictures, or one, whatever the latents",
        "look at samples/latest.png; penalties above 0; a lower generator_optimizer.rate; in a new "
        "run loss.name=relativistic_pairing; go on from an earlier checkpoint: "
        "catgan resume RUN --from STEP",
    )


def worse(values: Sequence[tuple[int, float, float]]) -> Diagnosis | None:
    """Looks at a distance, lower is better, over a run.

    Args:
        values: `(step, value, standard error)`, by step, all measured alike.
    """
    if len(values) < 3:
        return None
    best_step, best, best_error = min(values[:-2], key=lambda one: one[1])
    for _, value, error in values[-2:]:
        if value - best <= WORSE_ERRORS * float(np.hypot(error, best_error)):
            return None
    step, value, error = values[-1]
    return Diagnosis(
        "worse",
        f"the distance is {value:.4g} ± {error:.2g} at step {step:,} and was {best:.4g} at step "
        f"{best_step:,}; the one before is worse, too",
        "the run is over its best: the discriminator learns by heart, or rates are too high by now",
        f"the best checkpoint is kept: catgan generate RUN/checkpoints/step-{best_step:09d} --out "
        "cats; next time rates that fall, or more augmentation",
    )


@dataclass
class Told:
    """Remembers which signs were told, so that each is told once while it lasts."""

    _lasting: set[str] = field(default_factory=set)

    def news(self, name: str, found: Diagnosis | None) -> Diagnosis | None:
        """Returns the diagnosis if it is new, and forgets the sign where there is none."""
        if found is None:
            self._lasting.discard(name)
            return None
        if name in self._lasting:
            return None
        self._lasting.add(name)
        return found
