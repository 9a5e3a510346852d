"""Says how a run ended: the run's address on standard output, the rest beside it.

Owns the words only; what ended and why comes from `trainer.launch`.
"""

import dataclasses
from typing import Any

import click

from trainer.cli.answer import give
from trainer.command_line import catgan


def tell(outcome: Any, *, as_json: bool) -> None:
    """Writes the outcome of a start.

    Args:
        outcome: `trainer.launch.starting.Outcome`.
        as_json: Give all of it to standard output as JSON; else only the run's address.
    """
    if as_json:
        give(dataclasses.asdict(outcome))
        return
    click.echo(_line(outcome), err=True)
    click.echo(outcome.run)


def _line(outcome: Any) -> str:
    draw = catgan("generate", outcome.run, "--out", "pictures")
    if outcome.status == "finished":
        return f"finished: {outcome.cause}; pictures: {draw}"
    if outcome.status == "already finished":
        return f"nothing to do: {outcome.cause}; pictures: {draw}; more: {outcome.resume_command}"
    return f"stopped after {outcome.step:,} steps: {outcome.cause}; go on: {outcome.resume_command}"
