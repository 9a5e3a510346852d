"""Says how a run ended: the run's address on standard output, the rest beside it.

Owns the words only; what ended and why comes from `trainer.launch`.
"""

import dataclasses
from typing import Any

import click

from trainer.cli.answer import give


def tell(outcome: Any, *, as_json: bool) -> None:
    """Writes the outcome of a start.

    Args:
        outcome: `trainer.launch.local.Outcome`.
        as_json: Give all of it to standard output as JSON; else only the run's address.
    """
    if as_json:
        give(dataclasses.asdict(outcome))
        return
    if outcome.status == "already finished":
        click.echo(
            f"this run is finished: {outcome.step:,} steps. More: "
            f"catgan resume {outcome.run} training.steps={2 * outcome.step}",
            err=True,
        )
    elif outcome.status == "finished":
        click.echo(
            f"finished after {outcome.step:,} steps; pictures: "
            f"catgan generate {outcome.run} --out pictures",
            err=True,
        )
    else:
        click.echo(
            f"stopped after {outcome.step:,} steps; go on: {outcome.resume_command}", err=True
        )
    click.echo(outcome.run)
