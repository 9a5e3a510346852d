"""`catgan compare`: several runs in one table.

Owns how the answer looks; comparing is `trainer.report.compare`'s.
"""

import dataclasses
from typing import Any

import click

from trainer import console
from trainer.cli.answer import begin, give, json_option
from trainer.cli.tables import table_text


@click.command("compare")
@click.argument("addresses", metavar="RUN RUN ...", nargs=-1, required=True)
@json_option
def compare(addresses: tuple[str, ...], as_json: bool) -> None:
    """Set runs side by side: what differs in their configs, how good, how fast.

    Figures stand in one line only where they were measured alike; of a run's
    measurements it is the one with the least distance.
    """
    begin()
    from trainer.report import compare as comparing

    found = comparing.compare(addresses)
    if as_json:
        give(dataclasses.asdict(found))
    else:
        click.echo(_text(found), nl=False)


def _text(found: Any) -> str:
    rows = [[_title(what), *map(_shown(what), values)] for what, values in found.standing.items()]
    rows += [[label, *map(_figure, cells)] for label, cells in found.figures.items()]
    rows += [
        [label, f"not compared: measured with different {why}", *[""] * (len(found.names) - 1)]
        for label, why in found.unlike.items()
    ]
    rows += [[key, *map(_setting, values)] for key, values in found.settings.items()]
    return table_text(["", *found.names], rows)


def _title(what: str) -> str:
    told = {
        "images_seen": "pictures seen",
        "images_per_sec": "pictures/s",
        "data_wait_share": "waiting for data",
        "seconds": "training",
    }
    return told.get(what, what)


def _shown(what: str) -> Any:
    def cell(value: Any) -> str:
        if value is None:
            return "unknown"
        if what == "data_wait_share":
            return console.share(value)
        if what == "seconds":
            return console.duration(value)
        return value if isinstance(value, str) else f"{value:,.0f}"

    return cell


def _figure(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "not measured"
    error = "" if cell["error"] is None else f" ± {cell['error']:.4f}"
    return f"{cell['value']:.4f}{error} at step {cell['step']:,}"


def _setting(value: Any) -> str:
    return "none" if value in ([], "", None) else str(value)
