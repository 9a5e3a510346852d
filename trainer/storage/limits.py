"""How long storage is waited for.

Owns the numbers and the environment variables that change them. Does not wait
itself: `retry.py` and `files.py` do. Read at every call, so that a test or a
person can change them for a running program's next call.
"""

import os
from dataclasses import dataclass

from trainer.errors import ConfigError

DEADLINE_SECS = 600.0
"""How long one call tries without progress before it raises `StorageError`."""
TIMEOUT_SECS = 60.0
"""How long one request waits for the next byte."""
CONNECT_SECS = 10.0
"""How long one request waits for a connection."""
PAUSE_SECS = 0.5
"""The longest pause before the first new try; it doubles with every further one."""
MAX_PAUSE_SECS = 32.0
PROGRESS_BYTES = 1024 * 1024
"""A transfer that gets this much further has the whole deadline again."""

_PREFIX = "CATGAN_STORAGE_"


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of one call, in seconds."""

    deadline_secs: float
    timeout_secs: float
    connect_secs: float
    pause_secs: float
    max_pause_secs: float


def current() -> Limits:
    """The limits now: the environment's where it has them, else this module's.

    `CATGAN_STORAGE_DEADLINE_SECS`, `CATGAN_STORAGE_TIMEOUT_SECS` and
    `CATGAN_STORAGE_PAUSE_SECS` are read.

    Raises:
        ConfigError: A variable is set to something that is not a positive number.
    """
    timeout_secs = _from_environment("TIMEOUT_SECS", TIMEOUT_SECS)
    return Limits(
        deadline_secs=_from_environment("DEADLINE_SECS", DEADLINE_SECS),
        timeout_secs=timeout_secs,
        connect_secs=min(CONNECT_SECS, timeout_secs),
        pause_secs=_from_environment("PAUSE_SECS", PAUSE_SECS),
        max_pause_secs=MAX_PAUSE_SECS,
    )


def _from_environment(key: str, default: float) -> float:
    text = os.environ.get(_PREFIX + key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e9:
        raise ConfigError(
            f"{_PREFIX}{key}={text!r} is not a number of seconds",
            expected=f"a number above 0, such as {default:g}",
            remedy=f"unset {_PREFIX}{key}",
        )
    return value
