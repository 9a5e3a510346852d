"""`catgan verify-resume`: shows on a person's own config that resuming is exact.

Owns the command line and how the answer looks; the runs are made, broken and
compared by `trainer.launch.verify`.
"""

import dataclasses
from typing import Any

import click

from trainer import console
from trainer.cli.answer import begin, give, json_option
from trainer.cli.tables import table_text
from trainer.cli.train import load_config


@click.command("verify-resume")
@click.argument("config", metavar="CONFIG")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--steps", type=int, default=0, help="Steps of each run; default: chosen.")
@click.option(
    "--kill-at",
    "kills",
    type=int,
    multiple=True,
    metavar="STEP",
    help="Kill a process after this step; may be given several times.",
)
@click.option(
    "--scratch",
    default="",
    metavar="ADDRESS",
    help="Folder or gs://bucket/prefix for the runs; default: beside the config's run.",
)
@json_option
def verify_resume(
    config: str,
    overrides: tuple[str, ...],
    steps: int,
    kills: tuple[int, ...],
    scratch: str,
    as_json: bool,
) -> None:
    """Show that a resumed run equals an unbroken one, bit for bit.

    Trains a few steps of CONFIG without a stop, then again with processes
    killed, checkpoints cut short and bytes flipped, resumes each and compares
    all weights, statistics and optimizer slots. The config's own run is not
    touched. Exit code 5 if anything differs.
    """
    speech = begin()
    from trainer.launch import verify, verify_plan

    loaded = load_config(config, list(overrides))
    plan = verify_plan.plan(loaded, steps=steps, kills=kills)
    report = verify.verify_resume(loaded, plan, scratch=scratch, verbose=speech.verbose)
    if as_json:
        give(dataclasses.asdict(report) | {"ok": report.ok})
    else:
        click.echo(_text(report), nl=False)
    report.raise_if_different()


def _text(report: Any) -> str:
    rows = [
        [
            trial.name,
            f"{trial.resumed_from:,}",
            f"{len(trial.different):,} of {trial.tensors:,}",
            "equal" if trial.ok else trial.note or "DIFFERENT",
        ]
        for trial in report.trials
    ]
    columns = ["broken off", "resumed from step", "tensors that differ", "found"]
    return (
        table_text(columns, rows, right=columns[1:3])
        + f"compared: {report.compared}; {report.plan.steps:,} steps, "
        f"{console.duration(report.secs)}\n"
    )
