"""`catgan debug`: a few eager steps, looked at one by one.

Owns reading the command line and the tables; the run is `trainer.launch.debug`'s.
"""

from typing import Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.errors import ConfigError

_STEPS_KEY = "training.steps"
_MOST_COLUMNS = 8


@click.command("debug")
@click.argument("config", metavar="CONFIG")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
def debug(config: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Train a few steps slowly and look at each.

    The step is not traced, so breakpoint() inside train_step stops there. Every
    weight, layer output, loss and gradient is checked; the first that is not
    finite is named. Tables show the layers, and the parts of a step with their
    shapes and times. 5 steps, or as many as training.steps=N says. The run lies
    in a folder of its own, the config's run with -debug behind it, and replaces
    the debug run before it.
    """
    from trainer.cli.config_file import load_config

    steps, others = _steps(overrides)
    settings = load_config(config, others)
    begin(settings.log.file, tensorflow=True)
    from trainer.launch import debug as launch
    from trainer.launch.debug_report import Report

    report = Report()
    try:
        outcome = launch.debug(settings, report, steps=steps or launch.STEPS)
    finally:
        _show(report, as_json=as_json)
    if not as_json:
        click.echo(f"looked at {len(report.figures)} steps; they left {outcome.run}", err=True)
        click.echo(outcome.run)


def _steps(overrides: tuple[str, ...]) -> tuple[int, list[str]]:
    """Takes training.steps out: a debug run ends early, its config stays that of the run."""
    given = [item for item in overrides if item.partition("=")[0].strip() == _STEPS_KEY]
    others = [item for item in overrides if item not in given]
    if not given:
        return 0, others
    text = given[-1].partition("=")[2].strip().replace("_", "")
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(
            f"{given[-1]} cannot be used",
            expected="a whole number of at least 1",
            remedy=f"for example {_STEPS_KEY}=20",
        )
    return int(text), others


def _show(report: Any, *, as_json: bool) -> None:
    if as_json:
        give(report.as_dict())
    elif report.figures or report.layers():
        for text in _tables(report):
            click.echo(text)


def _tables(report: Any) -> list[str]:
    from trainer.cli.tables import table_text

    layers = [
        [row["network"], row["layer"], row["kind"], row["output"], f"{row['parameters']:,}",
         f"{row['ms']:.2f}"]
        for row in report.layers()
    ]  # fmt: skip
    parts = [
        [row["part"], row["output"], f"{row['ms']:.2f}", f"{row['steps']}"]
        for row in report.parts()
    ]
    columns = ["", "layer", "kind", "output", "parameters", "forward, ms"]
    return [
        table_text(columns, layers, "Layers", right=columns[4:]),
        table_text(
            ["part of the step", "output", "ms", "steps"],
            parts,
            "A step, eagerly (median; a traced step is faster)",
            right=["ms", "steps"],
        ),
        _steps_table(report),
        f"on {report.device}; variables: {_placed(report.variables)}; "
        f"layer outputs: {_placed(report.outputs)}\n",
    ]


def _steps_table(report: Any) -> str:
    """A column for each of the last steps, a row for each figure."""
    from trainer.cli.tables import table_text

    steps = report.figures[-_MOST_COLUMNS:]
    names = [name for name in dict.fromkeys(n for row in steps for n in row) if name != "step"]
    rows = [
        [name.replace("_mib", ", MiB"), *(_cell(name, row.get(name)) for row in steps)]
        for name in names
    ]
    heads = [f"step {row['step']}" for row in steps]
    return table_text(["", *heads], rows, "Figures", right=heads)


def _cell(name: str, value: Any) -> str:
    from trainer.console import figure

    if value is None:
        return ""
    return f"{value:,.0f}" if name.endswith("_mib") else figure(value)


def _placed(counts: Any) -> str:
    return ", ".join(f"{count} on {device}" for device, count in sorted(counts.items()))
