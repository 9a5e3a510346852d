"""What the driver and its workers tell one another.

Owns the shapes of the messages and the mailbox between them, an object that
lives in a Ray actor of its own. Starts nothing and knows no Ray: the driver
makes the actor, so that it dies with the driver.

Workers ask and tell in one call, about once a second; the driver empties the
mailbox as often. What comes from an attempt that is over is dropped.
"""

import math
import threading
import time
from dataclasses import dataclass, field

from trainer import errors
from trainer.errors import CatganError


@dataclass(frozen=True)
class Beginning:
    """What all workers of an attempt go on from.

    Attributes:
        start: Number of the start, claimed by the driver.
        first_step: The checkpoint to load; 0 for none.
    """

    start: int
    first_step: int


@dataclass(frozen=True)
class Beat:
    """Where a worker is.

    Attributes:
        rank: Its rank.
        host: Name of its machine.
        pid: Of its process.
        step: The last finished step, -1 before the model is built.
        stood_secs: Since then, or since its beginning.
        stores: It waits for storage, and the others for it.
    """

    rank: int
    host: str
    pid: int
    step: int
    stood_secs: float
    stores: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a worker's log."""

    rank: int
    host: str
    level: int
    text: str


@dataclass(frozen=True)
class Failure:
    """An error in a worker.

    Attributes:
        rank: Where it happened.
        host: Name of that machine.
        kind: Class of the error.
        what: What happened.
        expected: What would have been right.
        remedy: What to do.
        own: The program's own error with a remedy, which another try would meet again.
        trace: Python's traceback.
    """

    rank: int
    host: str
    kind: str
    what: str
    expected: str
    remedy: str
    own: bool
    trace: str

    @property
    def where(self) -> str:
        """Rank and host, in words."""
        return f"rank {self.rank} on {self.host}"

    def error(self) -> CatganError:
        """Returns the error as it was raised, its place added."""
        kind = getattr(errors, self.kind, CatganError) if self.own else CatganError
        return kind(f"{self.where}: {self.what}", expected=self.expected, remedy=self.remedy)


@dataclass(frozen=True)
class Ended:
    """How rank 0 ended, where it came to an end by itself; see `trainer.worker.Result`."""

    status: str
    step: int
    cause: str


@dataclass
class News:
    """What came since the driver last asked.

    Attributes:
        beats: The newest of each rank of this attempt.
        lines: Of the log, in order of arrival.
        failures: All of this attempt.
        ended: Of this attempt, or None.
        silent_secs: How long ago each rank checked in.
    """

    beats: dict[int, Beat] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    ended: Ended | None = None
    silent_secs: dict[int, float] = field(default_factory=dict)

    @property
    def furthest_step(self) -> int:
        """The furthest step that any rank is known to have finished; -1: none."""
        return max((beat.step for beat in self.beats.values()), default=-1)


class Coordinator:
    """The mailbox. All methods return at once.

    Args:
        silence_secs: A driver that has not asked for news for so long is taken for frozen, and
            its workers are to stop: another driver may want their place.
    """

    def __init__(self, silence_secs: float = math.inf) -> None:
        self._lock = threading.Lock()
        self._silence_secs = silence_secs
        self._asked_at = math.inf
        self._attempt = 0
        self._beginning: Beginning | None = None
        self._news = News()
        self._wish = ""
        self._heard_at: dict[int, float] = {}

    def begin_attempt(self, attempt: int) -> None:
        """Empties everything; only messages of this attempt count from now on."""
        with self._lock:
            self._attempt, self._beginning, self._news, self._wish = attempt, None, News(), ""
            self._heard_at = {}
            self._asked_at = math.inf  # it may be reading a checkpoint

    def set_beginning(self, beginning: Beginning) -> None:
        """Tells workers what they go on from."""
        with self._lock:
            self._beginning = beginning
            self._asked_at = time.monotonic()

    def ask_to_stop(self, cause: str) -> None:
        """Asks the workers to publish a checkpoint and return. The first cause stands."""
        with self._lock:
            self._wish = self._wish or cause

    def wish(self, attempt: int, cause: str) -> None:
        """Takes a worker's own reason to stop, which all of them will be told."""
        if attempt == self._attempt:
            self.ask_to_stop(cause)

    def news(self) -> News:
        """Returns what came; log lines only once."""
        with self._lock:
            news, now = self._news, time.monotonic()
            self._asked_at = now
            news.silent_secs = {rank: now - at for rank, at in self._heard_at.items()}
            self._news = News(dict(news.beats), [], list(news.failures), news.ended)
            return news

    def beginning(self, attempt: int) -> Beginning | None:
        """Returns what workers of this attempt go on from, None if that is not known yet."""
        with self._lock:
            return self._beginning if attempt == self._attempt else None

    def hosts(self) -> dict[int, str]:
        """Returns the name of each rank's machine, as far as they have checked in."""
        with self._lock:
            return {rank: beat.host for rank, beat in self._news.beats.items()}

    def stores(self, attempt: int) -> bool:
        """Says whether a worker of this attempt waits for storage, and so the others for it."""
        with self._lock:
            beats = self._news.beats.values()
            return attempt == self._attempt and any(beat.stores for beat in beats)

    def check_in(self, attempt: int, beat: Beat, lines: list[Line]) -> str:
        """Takes a worker's news and returns why it should stop, or ""."""
        with self._lock:
            if attempt != self._attempt:
                return "this attempt is over"
            self._news.beats[beat.rank] = beat
            self._heard_at[beat.rank] = time.monotonic()
            self._news.lines += lines
            if time.monotonic() - self._asked_at > self._silence_secs:
                self._wish = self._wish or (
                    f"its driver gave no sign of life for {self._silence_secs:.0f} s"
                )
            return self._wish

    def fail(self, attempt: int, failure: Failure) -> None:
        """Takes an error."""
        with self._lock:
            if attempt == self._attempt:
                self._news.failures.append(failure)

    def end(self, attempt: int, ended: Ended) -> None:
        """Takes rank 0's end."""
        with self._lock:
            if attempt == self._attempt:
                self._news.ended = ended
