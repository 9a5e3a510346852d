"""How a command begins and how it answers.

Owns setting up log lines before a command works, and the two forms of an
answer on standard output: text for a person, JSON for a program.
"""

import json
import sys
from typing import Any

import click

from trainer import console, quiet
from trainer.cli.main import Speech


def begin(log_file: str = "", *, tensorflow: bool = False) -> Speech:
    """Sets up log lines as the options say; call it first in a command.

    Args:
        log_file: Also write the log lines to this local file.
        tensorflow: Import TensorFlow now, in silence.
    """
    speech = click.get_current_context().ensure_object(Speech)
    quiet.prepare_environment(verbose=speech.verbose)
    console.set_up(verbose=speech.verbose, log_file=log_file)
    if tensorflow:
        quiet.import_tensorflow(verbose=speech.verbose)
    return speech


def give(value: Any) -> None:
    """Writes a value as JSON to standard output; where that is not UTF-8, in ASCII alone."""
    takes_all = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    click.echo(json.dumps(value, indent=2, ensure_ascii=not takes_all, default=str))


def json_option(command: Any) -> Any:
    """Adds `--json`, the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)
