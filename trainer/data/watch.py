"""Shows where `prepare` stands: a bar on a terminal, a line now and then elsewhere.

Owns the words and how often they come.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from trainer import console
from trainer.data.status import Report, Status

log = logging.getLogger("catgan.data")
_LINE_EVERY_SECS = 10.0
_BAR_EVERY_SECS = 0.1


@contextmanager
def shown() -> Iterator[Report]:
    """Gives the callback for `prepare(…, progress=…)`; the bar goes when the block ends."""
    if not console.terminal().is_terminal:
        yield _Lines()
        return
    from rich import progress

    bar = progress.Progress(
        progress.TextColumn("{task.description:<10}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
        console=console.terminal(),
        transient=True,
    )
    with bar:
        task = bar.add_task("listing", total=None, note="")
        phase, last = "", 0.0

        def report(status: Status) -> None:
            nonlocal phase, last
            now = time.monotonic()
            if status.phase == phase and now - last < _BAR_EVERY_SECS:
                return
            if status.phase != phase:
                bar.reset(task, description=status.phase, note="")
            phase, last = status.phase, now
            note = f"{status.rejected:,} rejected" if status.rejected else ""
            bar.update(task, completed=status.done, total=status.total, note=note)

        yield report


class _Lines:
    """Writes a log line every ten seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, status: Status) -> None:
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_SECS:
            return
        self._last = now
        of = f" of {status.total:,}" if status.total is not None else ""
        rejected = f", {status.rejected:,} rejected" if status.rejected else ""
        log.info("%s: %s%s%s", status.phase, f"{status.done:,}", of, rejected)
