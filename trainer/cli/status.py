"""`catgan status`: where a run and its jobs stand."""

from typing import Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.cli.jobs import address_option, server_at


@click.command("status")
@click.argument("word", metavar="RUN|JOB")
@address_option
@json_option
def status(word: str, address: str | None, as_json: bool) -> None:
    """Say where a run stands, and its jobs on a cluster.

    RUN is the address of a run folder, JOB the id that 'catgan submit' gave.
    With --address the cluster is asked for its jobs too.
    """
    begin()
    from trainer.launch import attend

    told = attend.facts(attend.find(word, server_at(address, needed=False)))
    if as_json:
        give(told)
    else:
        click.echo(_text(told), nl=False)


def _text(told: dict[str, Any]) -> str:
    from trainer.cli.tables import table_text

    rows = [["run", told["run"]]] if "run" in told else []
    if "status" in told:
        rows.append(["status", told["status"]])
    if "step" in told:
        speed = told["images_per_sec"]
        rows += [
            ["step", f"{told['step']:,}"],
            ["trained by", _holder(told)],
            ["speed", f"{speed:,.0f} pictures/s" if speed else "not yet known"],
            ["starts", f"{told['starts']:,}, the last with {told['workers'] or 0} workers"],
            ["last end", told["ended"] or "none yet"],
        ]
    text = table_text(["", ""], rows) if rows else ""
    columns = ["job", "state", "exit code", "started", "ended"]
    cells = [["" if v is None else str(v) for v in job.values()] for job in told["jobs"]]
    return text + (("\n" if text else "") + table_text(columns, cells) if cells else "")


def _holder(told: dict[str, Any]) -> str:
    if told["held_by"] is None:
        return "nobody"
    return f"{told['held_by']}, last sign of life {max(0, told['last_sign_secs'])} s ago"
