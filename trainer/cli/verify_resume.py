"""`catgan verify-resume`: shows on a person's own config that resuming is exact.

Owns the command line and how the answer looks; the runs are made, broken and
compared by `trainer.launch.verify`.
"""

import dataclasses
from typing import Any

import click

from trainer import console
from trainer.cli.answer import begin, give, json_option
from trainer.cli.config_file import load_config
from trainer.cli.tables import table_text

_MOST_TENSORS = 3


@click.command("verify-resume")
@click.argument("config", metavar="CONFIG")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--steps", type=int, default=0, help="Steps of each run. [default: chosen]")
@click.option(
    "--kill-at",
    "kills",
    type=int,
    multiple=True,
    metavar="STEP",
    help="Kill after this step; several times: one after another. [default: chosen]",
)
@click.option(
    "--scratch",
    default="",
    metavar="ADDRESS",
    help="Where the runs lie meanwhile: a path or gs://bucket/prefix. [default: beside the run]",
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

    Trains a few steps of CONFIG without a stop; then again, with the process
    killed by SIGKILL and the run resumed in another: between two checkpoints,
    while one is published, and with the newest one damaged. Every weight, moving
    statistic and optimizer slot is compared. CONFIG's own run is not touched.
    Exit code 5 if anything differs.
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
            f"{trial.tensors - len(trial.different):,} of {trial.tensors:,}",
            "ok" if trial.ok else "DIFFERENT",
        ]
        for trial in report.trials
    ]
    columns = ["what was done", "went on from step", "equal tensors", ""]
    title = f"{report.plan.steps} steps, a checkpoint every {report.plan.every}"
    lines = [table_text(columns, rows, title, right=columns[1:3]).rstrip()]
    for trial in report.trials:
        if not trial.ok:
            told = [trial.note] if trial.note else []
            told += [item.told() for item in trial.different[:_MOST_TENSORS]]
            lines += [f"{trial.name}: {text}" for text in told]
    word = "Yes" if report.ok else "No"
    lines.append(f"{word}: {report.compared} ({console.duration(report.secs)})")
    return "\n".join(lines) + "\n"
