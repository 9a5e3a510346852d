"""`catgan stop`: ends a job, or a process of this machine, after a checkpoint."""

from typing import Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.cli.jobs import address_option, server_at
from trainer.command_line import catgan


@click.command("stop")
@click.argument("word", metavar="RUN|JOB")
@address_option
@click.option("--dry-run", is_flag=True, help="Only say what would be stopped.")
@json_option
def stop(word: str, address: str | None, dry_run: bool, as_json: bool) -> None:
    """End a run after a checkpoint; it can be resumed.

    With --address the job of the run on that cluster, if one waits or runs; else
    the process of this machine that trains it. Returns when it has ended.
    """
    begin()
    from trainer.launch import attend

    server = server_at(address, needed=False)
    found = attend.find(word, server)
    target = attend.to_stop(found)
    if dry_run:
        told: dict[str, Any] = attend.facts(found)
        told |= {"stopped": False, "would_stop": _named(target)}
    else:
        told = _ended(target, server, found)
    if found.folder is not None:
        told["run"] = found.folder.address
    if as_json:
        give(told)
    else:
        _tell(told, found, dry_run=dry_run)


def _named(target: Any) -> str:
    """A job by its id, a process by its machine; "" if there is neither."""
    from trainer.launch.job_server import Job

    if target is None:
        return ""
    return target.id if isinstance(target, Job) else target.told()


def _ended(target: Any, server: Any, found: Any) -> dict[str, Any]:
    from trainer.launch import attend
    from trainer.launch.job_server import Job

    if target is None:
        return {"stopped": False, "job": found.job.id if found.job else None}
    if isinstance(target, Job):
        job = attend.stop_job(server, target)
        return {"stopped": True, "job": job.id, "state": job.state.lower()}
    attend.stop_process(found.folder, target)
    return {"stopped": True}


def _tell(told: dict[str, Any], found: Any, *, dry_run: bool) -> None:
    run = told.get("run", "")
    if told["stopped"]:
        text = "stopped" + (f"; go on: {catgan('resume', run)}" if run else "")
    elif dry_run and told["would_stop"]:
        text = f"would stop: {told['would_stop']}"
    else:
        why = f"job {found.job.id} has ended" if found.by_job else "nobody trains it"
        text = f"nothing to stop: {why}"
    click.echo(text, err=True)
    click.echo(run)
