"""How the program speaks to a person: log lines, the terminal, numbers in words.

Owns the set-up of the logger `catgan`, the shared terminal on standard error
and the way durations, rates and shares are written. Does not decide what is
said, and never writes to standard output: that is for data.
"""

import contextlib
import functools
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import ConfigError, masked

if TYPE_CHECKING:
    from rich.console import Console

LOG = logging.getLogger("catgan")

# A record with this attribute repeats what the live bar shows, so a terminal leaves it out.
BESIDE_BAR = {"beside_bar": True}

_CHATTY = ("absl", "tensorflow", "h5py", "google", "urllib3", "PIL", "py.warnings")


@functools.cache
def terminal() -> "Console":
    """Returns the one console on standard error that log lines and bars share."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def set_up(*, verbose: bool = False, log_file: str | Path = "") -> None:
    """Sends our log lines to standard error, and to a file if one is named.

    May be called again; the last call holds. Without `verbose` the log lines
    and warnings of libraries are left out.

    Raises:
        ConfigError: If the log file cannot be opened.
    """
    for handler in list(LOG.handlers):
        LOG.removeHandler(handler)
        handler.close()
    LOG.addHandler(_TerminalHandler())
    if log_file:
        LOG.addHandler(_file_handler(Path(log_file)))
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    LOG.propagate = False
    _quieten_libraries(verbose)


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the log file {path} cannot be written: {error.strerror or error}",
            expected="a local file in a folder that can be written",
            remedy="set log.file to another path, or leave it empty",
        ) from None
    handler.setFormatter(_PlainFormatter("%Y-%m-%d %H:%M:%S"))
    return handler


def _quieten_libraries(verbose: bool) -> None:
    # TensorFlow reads this once, when it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "3")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    if not verbose and not sys.warnoptions:
        warnings.simplefilter("ignore")


class _PlainFormatter(logging.Formatter):
    """`time message`, with the level named only where it is not plain information."""

    def __init__(self, date_format: str) -> None:
        super().__init__("%(asctime)s %(message)s", date_format)

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            record.message = f"{record.levelname.lower()}: {record.message}"
        record.message = masked(record.message)
        return super().formatMessage(record)


class _TerminalHandler(logging.Handler):
    """Lines on standard error: bare on a terminal, with the time of day elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._plain = _PlainFormatter("%H:%M:%S")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            console = terminal()
            if console.is_terminal:
                if not getattr(record, "beside_bar", False):
                    self._emit_styled(console, record)
            else:
                sys.stderr.write(self._plain.format(record) + "\n")
                sys.stderr.flush()
        except Exception:  # a full pipe or closed terminal must not stop a run
            self.handleError(record)

    def _emit_styled(self, console: "Console", record: logging.LogRecord) -> None:
        from rich.text import Text

        text = Text(masked(record.getMessage()))
        if record.levelno >= logging.WARNING:
            style = "bold red" if record.levelno >= logging.ERROR else "yellow"
            text = Text(f"{record.levelname.lower()}: ", style=style) + text
        console.print(text)
        if record.exc_info:
            console.print(Text(logging.Formatter().formatException(record.exc_info)))


@contextlib.contextmanager
def silenced_stderr(enabled: bool = True) -> Iterator[None]:
    """Holds back what native code writes to standard error; shows it if the block fails.

    TensorFlow writes some lines while it is imported, before any setting of it
    counts, so only the file descriptor can be closed to them.
    """
    if not enabled:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def duration(secs: float) -> str:
    """Returns seconds in the two largest units that matter: `3 h 07 min`, `42 s`."""
    if secs != secs or secs in (float("inf"), float("-inf")):
        return "unknown"
    if secs < 9.95:
        return f"{max(secs, 0.0):.1f} s"
    whole = round(secs)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def figure(value: float) -> str:
    """Returns a measured number with four digits at most: `0.693`, `12.35`, `1.2e-05`."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        whole_digits = max(1, len(str(int(abs(value)))))
        return f"{value:,.{max(0, 4 - whole_digits)}f}"
    return f"{value:.1e}"


def share(value: float) -> str:
    """Returns a part of one in per cent: `3.1 %`."""
    return f"{100 * value:.1f} %"


def size(num_bytes: float) -> str:
    """Returns bytes in decimal units: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(num_bytes) < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
