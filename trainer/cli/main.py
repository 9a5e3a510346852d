"""The program `catgan`: finds the command, runs it, turns errors into text and exit codes.

Owns the list of commands, the options that every command knows, and the one
place where an exception becomes a message. A command's own module, and with it
anything heavy, is imported only when that command runs.
"""

import contextlib
import difflib
import importlib
import io
import os
import select
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import click

from trainer import __version__
from trainer.errors import CatganError, InterruptedRun, TerminatedRun, masked


@dataclass(frozen=True)
class Door:
    """A command before it is loaded.

    Attributes:
        module: Where it lives, under `trainer.cli`.
        attribute: The click command in it.
        summary: Its line in `catgan --help`.
    """

    module: str
    attribute: str
    summary: str


# The three doors, with what leads to them before and what comes of them behind.
SECTIONS: dict[str, dict[str, Door]] = {
    "Pictures": {
        "prepare": Door("prepare", "prepare", "Turn pictures into a data set."),
    },
    "On one GPU, or the CPU": {
        "train": Door("train", "train", "Train a run, or go on with it."),
        "debug": Door("debug", "debug", "Train a few steps slowly and look at each."),
        "tune": Door("tune", "tune", "Search for better settings: many short runs."),
    },
    "From a checkpoint, knowing its address": {
        "resume": Door("resume", "resume", "Go on with a run from its address alone."),
        "inspect": Door("inspect", "inspect", "Say what is at an address, and if it is whole."),
        "verify-resume": Door(
            "verify_resume", "verify_resume", "Show that a resumed run equals an unbroken one."
        ),
    },
    "On a GPU cluster": {
        "submit": Door("submit", "submit", "Send a run to a GPU cluster, and watch it."),
        "status": Door("status", "status", "Say where a run and its jobs stand."),
        "logs": Door("logs", "logs", "Show what a job has written."),
        "stop": Door("stop", "stop", "End a run after a checkpoint."),
        "doctor": Door("doctor", "doctor", "Check a set-up before it costs money."),
    },
    "Look at runs": {
        "generate": Door("generate", "generate", "Draw pictures with a trained generator."),
        "report": Door("report", "report", "Make a page about runs, to look at."),
        "film": Door("film", "film", "Make a film of a run: cats emerge."),
        "compare": Door("compare", "compare", "Set runs side by side in a table."),
    },
    "Measure and check": {
        "evaluate": Door("evaluate", "evaluate", "Measure pictures against real ones."),
        "outliers": Door("outliers", "outliers", "Find training pictures unlike the others."),
        "replay": Door("replay", "replay", "Look into one step of a run, rebuilt exactly."),
        "audit": Door("audit", "audit", "Train a stretch of a run again, compare the bits."),
    },
}


@dataclass
class Speech:
    """How much the program says.

    Attributes:
        verbose: Let the libraries' own log lines through.
        traceback: Show where an error came from.
    """

    verbose: bool = False
    traceback: bool = False


def _turn_on(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        setattr(context.ensure_object(Speech), str(option.name), True)


def _spoken_options(*, hidden: bool) -> list[click.Option]:
    told = {
        "verbose": "Show TensorFlow's own log lines and ours for debugging.",
        "traceback": "Show where an error came from.",
    }
    return [
        click.Option(
            [f"--{name}"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_turn_on,
            hidden=hidden,
            help=text,
        )
        for name, text in told.items()
    ]


class LazyCommands(click.Group):
    """A group that knows its commands' names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of `SECTIONS`."""
        return [name for doors in SECTIONS.values() for name in doors]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns one command, with the options that all have."""
        for doors in SECTIONS.values():
            if cmd_name in doors:
                return _load(doors[cmd_name])
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]):
        """Finds the command, or names the closest one."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-"):
            return super().resolve_command(ctx, args)
        close = difflib.get_close_matches(name, known, 1, 0.5)
        if not close and (name.endswith((".yaml", ".yml")) or os.path.isfile(name)):
            close = [f"train {name}"]
        hint = f"Did you mean 'catgan {close[0]}'?" if close else f"One of: {', '.join(known)}."
        raise click.UsageError(f"there is no command {name!r}. {hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands under their headings."""
        width = max(len(name) for name in self.list_commands(ctx))
        for heading, doors in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), d.summary) for name, d in doors.items()])


def _load(door: Door) -> click.Command:
    module = importlib.import_module(f"trainer.cli.{door.module}")
    command = getattr(module, door.attribute)
    known = {parameter.name for parameter in command.params}
    command.params.extend(o for o in _spoken_options(hidden=True) if o.name not in known)
    return command


@click.command(
    "catgan",
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=_spoken_options(hidden=False),
    epilog="--verbose and --traceback may also stand behind a command. "
    "'catgan COMMAND --help' tells the rest.",
)
@click.version_option(__version__, "--version", prog_name="catgan", message="%(prog)s %(version)s")
def cli() -> None:
    """Train a GAN on your own pictures, and never lose a run.

    \b
    Begin with one of:
      catgan train --pictures DIR      a folder of pictures, nothing else needed
      catgan train configs/debug.yaml  drawn cats, about two minutes on two cores
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code. Raises nothing.

    Args:
        arguments: Without the program's name; default: those of this process.
    """
    _let_anything_be_written()
    speech = Speech()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if "_CATGAN_COMPLETE" in os.environ:  # a shell asks what may come next
            cli.main(given, prog_name="catgan")
        # Not `cli.main`: it would take any broken pipe, a bucket's too, for a reader that left.
        with cli.make_context("catgan", given, obj=speech) as context:
            cli.invoke(context)
        sys.stdout.flush()
        return 0
    except BaseException as error:
        return _told(error, speech)


def _let_anything_be_written() -> None:
    """Letters that the locale does not have become question marks, not errors."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def main() -> NoReturn:
    """The console script."""
    sys.exit(run())


def _told(error: BaseException, speech: Speech) -> int:
    """Says what went wrong, once, and returns the exit code for it."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BrokenPipeError) and _reader_left():
        return 0
    if isinstance(error, click.ClickException):
        error.show(sys.stderr)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _say("interrupted", label="")
        return 130
    if speech.traceback:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, CatganError):
        # A run that was asked to end and did is no error.
        asked = isinstance(error, InterruptedRun | TerminatedRun)
        _say(str(error), label="" if asked else "error: ")
        return error.exit_code
    told = " ".join(str(error).split())[:500]
    _say(f"internal error: {type(error).__name__}: {told}", label="")
    if not speech.traceback:
        _say("  do: run it again with --traceback and report what it prints", label="")
    return 1


def _say(text: str, label: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(click.style(label, fg="red", bold=True) + masked(text), err=True)


def _reader_left() -> bool:
    """Says whether standard output leads nowhere now, and if so keeps Python silent about it."""
    try:
        output = sys.stdout.fileno()
        poll = select.poll()
        poll.register(output, 0)
        if not any(event & select.POLLERR for _, event in poll.poll(0)):
            return False
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        return True
    except (OSError, ValueError):
        return False
