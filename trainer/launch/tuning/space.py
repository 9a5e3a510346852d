"""Which settings a search tries.

Owns the words of `--over` and what they become: overrides of a config, drawn
from the search's seed alone. Does not know how a trial is run.
"""

import itertools
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import config as configs
from trainer.config import Config
from trainer.errors import CatganError, ConfigError
from trainer.seeds import random_bits

log = logging.getLogger("catgan")

DEFAULT_TRIALS = 16
MAX_TRIALS = 1000

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"^\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(linear)?\s*$")
_EXAMPLES = "--over generator_optimizer.rate=1e-4..1e-3 or --over model.base_channels=16,24,32"
# Belong to the whole search: a trial that changed them would not compare with the others.
_FIXED = re.compile(r"^(run|seed|training\.(steps|global_batch)|(dataset|cluster|evaluation)\..*)$")


@dataclass(frozen=True)
class Axis:
    """One key and what is tried for it.

    Attributes:
        key: Of the config.
        choices: Values as YAML; empty for a range.
        low: Least value of a range.
        high: Its greatest.
        linear: Drawn evenly; else evenly in the logarithm.
        whole: Only whole numbers.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    linear: bool = False
    whole: bool = False

    def at(self, share: float) -> str:
        """Returns the value at a share in [0, 1) of the axis, as YAML."""
        if self.choices:
            return self.choices[int(share * len(self.choices))]
        if self.linear:
            value = self.low + share * (self.high - self.low)
        else:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        if self.whole:
            return str(min(max(round(value), int(self.low)), int(self.high)))
        # Three digits of how far the ends are apart: a rate is not known better than that.
        apart = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        text = f"{value:.{3 + max(0, math.floor(math.log10(apart)))}g}"
        # Rounded, it may lie outside.
        return f"{min(max(float(text), self.low), self.high):.15g}"


def read_axis(text: str) -> Axis:
    """Reads `KEY=a,b,c`, `KEY=low..high` or `KEY=low..high linear`; raises ConfigError.

    A comma inside brackets belongs to a value: `augment.kinds=[],[colour, cutout]`.
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not key or not value.strip():
        raise ConfigError(
            f"{text!r} says not what to try", expected="KEY=a,b,c or KEY=low..high",
            remedy=_EXAMPLES,
        )  # fmt: skip
    if _FIXED.match(key):
        raise ConfigError(
            f"{key} cannot be searched over",
            expected="a key of the recipe: trials compare only on the same pictures and steps",
            remedy=_EXAMPLES,
        )
    found = _RANGE.match(value)
    if found:
        return _range(key, text, *found.groups())
    choices = tuple(dict.fromkeys(_split(value)))
    if len(choices) < 2 or "" in choices:
        raise ConfigError(
            f"{text!r} leaves no choice", expected="two different values at least, or low..high",
            remedy=_EXAMPLES,
        )  # fmt: skip
    return Axis(key, choices)


def _range(key: str, text: str, first: str, last: str, linear: str | None) -> Axis:
    low, high = float(first), float(last)
    if not low < high or (low <= 0 and not linear):
        raise ConfigError(
            f"{text!r} is no range",
            expected="low..high with 0 < low < high, drawn evenly in the logarithm; a range "
            "that begins at 0 or below only as 'low..high linear'",
            remedy=_EXAMPLES,
        )
    whole = all(re.fullmatch(r"[-+]?\d+", end) for end in (first, last)) and _is_whole(key)
    return Axis(key, (), low, high, bool(linear), whole)


def _is_whole(key: str) -> bool:
    from trainer.config.load import all_keys

    field = all_keys().get(key)
    return field is not None and field.annotation is int


def _split(value: str) -> list[str]:
    """Splits at the commas that are outside of brackets."""
    parts, depth = [""], 0
    for letter in value:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def trials_of(axes: Sequence[Axis], count: int | None, seed: int) -> list[dict[str, str]]:
    """Returns the settings of every trial, `{key: value as YAML}`, none twice.

    Every combination where all axes are choices and `count` does not say fewer; else draws
    (Bergstra and Bengio 2012): share k of axis j is drawn from (seed, j, k) alone.

    Args:
        axes: With keys that differ.
        count: Trials; None: all combinations, or 16.
        seed: Of the search.

    Raises:
        ConfigError: A key stands twice, or the count is not from 1 to 1,000.
    """
    keys = [axis.key for axis in axes]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice or not axes:
        raise ConfigError(
            f"{twice.pop()} stands twice" if twice else "there is nothing to try",
            expected="one --over for each key, one at least",
            remedy=_EXAMPLES,
        )
    grid = all(axis.choices for axis in axes)
    whole = math.prod(len(axis.choices) for axis in axes) if grid else math.inf
    wanted = count if count is not None else (whole if grid else DEFAULT_TRIALS)
    if not 1 <= wanted <= MAX_TRIALS:
        raise ConfigError(
            f"{wanted:,} trials", expected=f"1 to {MAX_TRIALS:,}", remedy="for example --trials 16"
        )
    if wanted >= whole:
        values = itertools.product(*(axis.choices for axis in axes))
        return [dict(zip(keys, chosen, strict=True)) for chosen in values]
    drawn: dict[tuple[str, ...], None] = {}
    for number in range(100 * int(wanted)):
        shares = [_share(seed, axis.key, number) for axis in axes]
        drawn[tuple(axis.at(share) for axis, share in zip(axes, shares, strict=True))] = None
        if len(drawn) == wanted:
            break
    if len(drawn) < wanted:
        log.warning("there are %d different trials, not %d", len(drawn), wanted)
    return [dict(zip(keys, chosen, strict=True)) for chosen in drawn]


def _share(seed: int, key: str, number: int) -> float:
    bits = random_bits(1, seed, f"search/{key}", number)
    return float((bits[0] >> np.uint64(11)) * 2.0**-53)


def config_of_trial(base: Config, settings: dict[str, Any], run: str) -> Config:
    """Returns the config of one trial; raises ConfigError with its settings where it has none."""
    overrides = [f"{key}={value}" for key, value in settings.items()]
    try:
        return configs.override(base, [*overrides, configs.setting("run", run)])
    except CatganError as error:
        raise ConfigError(
            f"the trial with {' '.join(overrides)} cannot be run: {error.what}",
            expected=error.expected,
            remedy=error.remedy,
        ) from error
