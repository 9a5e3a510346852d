"""Timing contestants in turn, and what every table must say about where it was made.

Owns the interleaving (A B C, C B A, A B C …), the ratios, the measure of what others did
on the machine meanwhile, and the form of the tables. Does not know what is timed.

Ratios are medians of the rounds' ratios: a disturbance of some seconds falls on all
contestants of a round, and a single bad round does not count.
"""

import datetime
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

RESULTS = Path(__file__).parent / "results"
# Cores that others may use, before and while we measure, before a table is called noisy.
QUIET_BEFORE, QUIET_DURING = 0.5, 0.2
_LOOK_SECS = 2.0
# Threads of the one before spin for some milliseconds before they sleep.
_PAUSE_SECS = 0.05
_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "avx_vnni": "AVX-VNNI",
    "amx_tile": "AMX",
}

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Series:
    """Seconds of one contestant's step.

    Attributes:
        rounds: The median of each round.
        least: The shortest single step.
    """

    rounds: tuple[float, ...]
    least: float

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Ratio:
    """How long one contestant takes for each second of another.

    Attributes:
        paired: Median of the rounds' ratios: the figure that counts.
        medians: Ratio of the medians.
        least: Ratio of the shortest steps.
    """

    paired: float
    medians: float
    least: float


def interleaved(contestants: Mapping[Key, Callable[[], list[float]]], rounds: int):
    """Gives each contestant a turn in each round, the order turned round every time.

    Args:
        contestants: A turn runs some steps to their end and returns the seconds of each.
        rounds: How many; one more comes first and is not counted.

    Returns:
        `{name: Series}`.
    """
    times: dict[Key, list[list[float]]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        order = list(contestants)[:: 1 if number % 2 else -1]
        for name in order:
            time.sleep(_PAUSE_SECS)
            secs = contestants[name]()
            if number:
                times[name].append(secs)
    return {
        name: Series(tuple(map(statistics.median, turns)), min(map(min, turns)))
        for name, turns in times.items()
    }


def mixed(usual: Series, rare: Series, every: int) -> Series:
    """The mean step where one of `every` steps is of the rare kind."""

    def mean(a: float, b: float) -> float:
        return a + (b - a) / every

    return Series(tuple(map(mean, usual.rounds, rare.rounds)), mean(usual.least, rare.least))


def ratio(one: Series, other: Series) -> Ratio:
    """Compares two contestants of the same rounds."""
    paired = [a / b for a, b in zip(one.rounds, other.rounds, strict=True)]
    return Ratio(statistics.median(paired), one.median / other.median, one.least / other.least)


class Watch:
    """Measures what others do on this machine: before it is entered and while it is open.

    The load average would count the benchmark itself, and the one before it.

    Attributes:
        before: Cores that were busy while this process slept.
        during: Cores that were busy beyond this process and its ended children.
    """

    def __enter__(self) -> "Watch":
        busy = _busy_secs()
        time.sleep(_LOOK_SECS)
        self.before = (_busy_secs() - busy) / _LOOK_SECS
        self.during = 0.0
        self._load = os.getloadavg()[0]
        self._mark = time.monotonic(), _busy_secs(), _own_secs()
        return self

    def __exit__(self, *_: object) -> None:
        began, busy, own = self._mark
        elapsed = time.monotonic() - began
        self.during = max(0.0, (_busy_secs() - busy - (_own_secs() - own)) / elapsed)

    @property
    def noisy(self) -> bool:
        """Whether others did so much that the figures mean little."""
        return self.before > QUIET_BEFORE or self.during > QUIET_DURING

    def told_before(self) -> str:
        """What can be said where processes that are measured outlive the one that began them."""
        verdict = "**noisy**" if self.before > QUIET_BEFORE else "quiet"
        return f"Others used {self.before:.2f} cores before it began ({verdict})."

    def told_beside(self, what: str) -> str:
        """What is said where load changes nothing in the figures.

        Args:
            what: Is measured.
        """
        return (
            f"Others used {self.before:.2f} cores before and {self.during:.2f} while it ran; "
            f"{what} does not depend on that."
        )

    def __str__(self) -> str:
        verdict = "**noisy: not to be relied on**" if self.noisy else "quiet"
        return (
            f"Others used {self.before:.2f} cores before and {self.during:.2f} while it ran "
            f"({verdict}); load average {self._load:.2f} at the start, "
            f"{os.getloadavg()[0]:.2f} at the end."
        )


def _busy_secs() -> float:
    """Seconds that all cores together have been busy, stolen time included."""
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, _idle, _waiting, *more = map(int, line.split()[1:9])
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def _own_secs() -> float:
    return sum(os.times()[:4])


def described(*packages: str) -> str:
    """Returns one line: day, processor, cores, Python and versions of `packages`."""
    flags = ", ".join(name for flag, name in _FLAGS.items() if flag in _cpu_info("flags").split())
    parts = [
        datetime.datetime.now(datetime.UTC).date().isoformat(),
        f"{_cpu_info('model name') or platform.machine()} ({flags})",
        f"{len(os.sched_getaffinity(0))} cores",
        f"Python {platform.python_version()}",
        *(f"{name} {_version(name)}" for name in packages),
    ]
    return ", ".join(parts)


def has_vnni() -> bool:
    """Whether TensorFlow switches oneDNN on by itself on this processor."""
    flags = _cpu_info("flags").split()
    return "avx512_vnni" in flags or "avx_vnni" in flags


def _cpu_info(key: str) -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def publish(
    name: str, title: str, packages: Sequence[str], *parts: object, write: bool = False
) -> None:
    """Prints a page: title, machine and versions, parts; with `write` into `results/<name>.md`."""
    keep_page(name, title, described(*packages), *parts, write=write)


def keep_page(name: str, title: str, *parts: object, write: bool) -> None:
    """Prints a page whose parts say themselves where they were measured; `write` as `publish`."""
    text = "\n\n".join([f"# {title}", *map(str, parts)])
    print(text)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
