"""How the program speaks."""

import io
import logging
import os
import subprocess
import sys

import pytest
from rich.console import Console

from trainer import console
from trainer.errors import ConfigError


@pytest.fixture
def log():
    """The logger `catgan`, put back afterwards as it was."""
    logger = logging.getLogger("catgan")
    kept = logger.handlers[:], logger.level, logger.propagate
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.level, logger.propagate = kept


@pytest.mark.parametrize(
    ("secs", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3600 * 3 + 60 * 7, "3 h 07 min"),
        (86400 * 2 + 3600 * 4, "2 d 04 h"),
        (float("nan"), "unknown"),
        (float("inf"), "unknown"),
    ],
)
def test_durations(secs, text):
    assert console.duration(secs) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.69314, "0.693"),
        (12.3456, "12.35"),
        (1234.5, "1,234"),
        (-0.5, "-0.500"),
        (0, "0"),
        (1.234e-5, "1.2e-05"),
        (3e7, "3.0e+07"),
        (float("nan"), "nan"),
    ],
)
def test_figures(value, text):
    assert console.figure(value) == text


def test_shares_and_sizes():
    assert console.share(0.0314) == "3.1 %"
    assert [console.size(n) for n in (12, 12_345, 1.5e6, 2e9, 3e12)] == [
        "12 B",
        "12.3 kB",
        "1.5 MB",
        "2.0 GB",
        "3.0 TB",
    ]


def test_without_a_terminal_lines_carry_the_time_and_nothing_is_styled(log, capsys):
    console.set_up()
    log.info("step %d", 5)
    log.warning("[bold]odd[/bold]")
    log.debug("not shown")
    written = capsys.readouterr()
    first, second = written.err.splitlines()
    assert first[2] == ":"
    assert first.endswith(" step 5")
    assert second.endswith(" warning: [bold]odd[/bold]")
    assert written.out == ""


def test_a_terminal_leaves_out_what_the_bar_shows_and_a_file_keeps_it(log, monkeypatch, tmp_path):
    screen = io.StringIO()
    monkeypatch.setattr(
        console, "terminal", lambda: Console(file=screen, force_terminal=True, width=200)
    )
    path = tmp_path / "logs" / "run.log"
    console.set_up(log_file=path)
    log.info("losses", extra=console.BESIDE_BAR)
    log.error("[red]broken[/red]")
    assert "losses" not in screen.getvalue()
    assert "[red]broken[/red]" in screen.getvalue()
    lines = path.read_text().splitlines()
    assert lines[0].endswith(" losses")
    assert lines[1].endswith(" error: [red]broken[/red]")


def test_a_log_file_that_cannot_be_written_is_a_config_error(log, tmp_path):
    with pytest.raises(ConfigError, match="log file"):
        console.set_up(log_file=tmp_path)


def test_setting_up_again_replaces(log, capsys):
    console.set_up()
    console.set_up(verbose=True)
    log.debug("once")
    assert capsys.readouterr().err.count("once") == 1


def script(body: str) -> subprocess.CompletedProcess:
    code = f"import os, sys\nfrom trainer import console\n{body}"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=120
    )


def test_native_chatter_is_held_back():
    done = script("with console.silenced_stderr(): os.write(2, b'chatter')\nos.write(2, b'ours')")
    assert (done.returncode, done.stderr) == (0, "ours")


def test_native_chatter_is_shown_when_the_block_fails():
    done = script("with console.silenced_stderr(): os.write(2, b'the reason'); 1 / 0")
    assert done.returncode == 1
    assert "the reason" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_verbose_shows_native_chatter():
    done = script("with console.silenced_stderr(enabled=False): os.write(2, b'chatter')")
    assert done.stderr == "chatter"
