"""What a distance means: which known damage to real pictures is as far away.

Owns the ladders that came with the program (`ladders.json`, written by `benchmarks/ladder.py`):
which network passed at which size, and how far each rung is. A kernel distance is unbiased, so
the count does not matter; another data set does, and the text says of which it was.
"""

import functools
import json
from importlib import resources

PICTURES = "photographs of cat faces"


@functools.cache
def _ladders() -> dict:
    return json.loads(resources.files("trainer.evaluation").joinpath("ladders.json").read_text())


def _ladder(network: str, weights_sha256: str, size_px: int) -> dict | None:
    found = _ladders().get(network, {}).get(str(size_px))
    return found if found and found["weights_sha256"] == weights_sha256 else None


def passing(network: str, size_px: int) -> list[str]:
    """Returns the names of a network, at all its scales, that passed at a size."""
    names = [name for name in _ladders() if name.partition("@")[0] == network]
    return [n for n in names if _ladders()[n].get(str(size_px), {}).get("passed")]


def told(network: str, weights_sha256: str, size_px: int, distance: float) -> list[str]:
    """Returns what can be said beside a kernel distance, a line each."""
    ladder = _ladder(network, weights_sha256, size_px)
    if ladder is None:
        return [f"{network} has climbed no ladder at {size_px} px: it may be no judge"]
    if not ladder["passed"]:
        wrong = ", ".join(ladder["wrong"])
        return [f"{network} failed its ladder at {size_px} px ({wrong}): do not rely on it"]
    rungs = sorted(ladder["rungs"], key=lambda rung: rung[1])
    below = [rung for rung in rungs if rung[1] <= distance]
    above = [rung for rung in rungs if rung[1] > distance]
    parts = []
    if below:
        parts.append(f"farther than {below[-1][0]} ({below[-1][1]:.4f})")
    if above:
        parts.append(f"nearer than {above[0][0]} ({above[0][1]:.4f})")
    return [f"scale ({PICTURES}): {', '.join(parts)}"]
