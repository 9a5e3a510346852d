"""`catgan stop`: ends a job, or a process of this machine, after a checkpoint."""

from typing import Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.cli.submit import address_option, server_at
from trainer.command_line import catgan


@click.command("stop")
@click.argument("word", metavar="RUN|JOB")
@address_option
@click.option("--dry-run", is_flag=True, help="Only say what would be stopped.")
@json_option
def stop(word: str, address: str | None, dry_run: bool, as_json: bool) -> None:
    """End a run after a checkpoint; it can be resumed.

    With --address the job of the run on that cluster; without, the process of
    this machine that trains it. Returns when it has ended.
    """
    begin()
    from trainer.launch import attend

    server = server_at(address, needed=False)
    found = attend.find(word, server)
    if dry_run:
        told: dict[str, Any] = attend.facts(found) | {"stopped": False}
    elif server is not None:
        told = _stop_job(server, found)
    else:
        told = {"stopped": attend.stop_process(found)}
    if found.folder is not None:
        told["run"] = found.folder.address
    if as_json:
        give(told)
    else:
        _tell(told, dry_run=dry_run)


def _stop_job(server: Any, found: Any) -> dict[str, Any]:
    from trainer.launch import attend

    job = found.job
    if job is None or job.ended:
        return {"stopped": False, "job": job.id if job else None}
    ended = attend.stop_job(server, job)
    return {"stopped": True, "job": ended.id, "state": ended.state.lower()}


def _tell(told: dict[str, Any], *, dry_run: bool) -> None:
    run = told.get("run", "")
    if dry_run:
        running = [job["id"] for job in told["jobs"] if job["state"] in ("pending", "running")]
        what = ", ".join(running) or told.get("held_by") or "nothing"
        click.echo(f"would stop: {what}", err=True)
    elif not told["stopped"]:
        click.echo("nothing to stop: nobody trains it", err=True)
    else:
        more = f"; go on: {catgan('resume', run)}" if run else ""
        click.echo(f"stopped{more}", err=True)
    click.echo(run)
