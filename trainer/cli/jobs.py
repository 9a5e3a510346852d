"""Jobs of a cluster on this terminal: which cluster is meant, sending one, ending as it did.

Owns what `submit`, `resume`, `status`, `logs` and `stop` have in common. What is sent is
`trainer.launch.submit`'s, showing a log `job_log.py`'s.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from trainer.cli.answer import give
from trainer.command_line import catgan

address_option = click.option(
    "--address",
    metavar="http://HEAD:8265",
    help="The cluster's dashboard. [default: RAY_API_SERVER_ADDRESS]",
)


def send(
    plan: Any, address: str | None, name: str, *, follow: bool, dry_run: bool, as_json: bool
) -> None:
    """Submits a plan that was checked, and watches it; also for `catgan resume`.

    Args:
        plan: `trainer.launch.submit.Plan`.
        address: Of the job server.
        name: For the dashboard.
        follow: Watch the job until it ends.
        dry_run: Only say what would be sent.
        as_json: Answer in JSON.
    """
    from trainer.launch import job_server
    from trainer.launch import submit as launch

    if plan.finished:
        click.echo(_nothing_to_do(plan), err=True)
        _answer(plan, "", "already finished", 0, as_json=as_json)
        return
    if dry_run:
        _tell_dry(plan, address, as_json=as_json)
        return
    server = job_server.JobServer(job_server.address_of(address))
    job_id = launch.send(plan, server, name)
    if not follow:
        click.echo(
            f"watch it: {catgan('logs', job_id, '--address', server.address, '--follow')}", err=True
        )
        _answer(plan, job_id, "submitted", None, as_json=as_json)
        return
    from trainer.cli.job_log import watch

    fate = watch(server, job_id, sys.stderr)
    _answer(plan, job_id, fate.job.state.lower(), fate.exit_code, as_json=as_json)
    end(fate)


def server_at(address: str | None, *, needed: bool = True) -> Any:
    """Connects to the job server that was named.

    Args:
        address: As given; None: that of RAY_API_SERVER_ADDRESS.
        needed: Raise ConfigError where none is named; else return None.
    """
    from trainer.launch import job_server

    if not needed and address is None and not os.environ.get(job_server.JOB_SERVER_VARIABLE):
        return None
    return job_server.JobServer(job_server.address_of(address))


def end(fate: Any) -> None:
    """Exits as a job did, and says so where that is no success."""
    if fate.exit_code == 0:
        return
    told = f"job {fate.job.id} {fate.job.state.lower()}, exit code {fate.exit_code}"
    if fate.job.exit_code is None and fate.job.message:
        told += f": {' '.join(fate.job.message.split())[:500]}"
    click.echo(told, err=True)
    raise click.exceptions.Exit(fate.exit_code)


def _tell_dry(plan: Any, address: str | None, *, as_json: bool) -> None:
    from trainer.launch import job_package, submit

    with job_package.packed(plan.words, plan.config, plan.config_name) as package:
        told = {
            "address": address or "",
            "run": plan.run,
            "dataset": plan.config.dataset.address,
            "start": plan.start,
            "workers": plan.config.cluster.workers,
            "gpus_per_worker": plan.config.cluster.gpus_per_worker,
            "command": package.command,
            "sent": _sent(package.runtime_env),
            "environment": sorted(package.runtime_env["env_vars"]),
            "metadata": submit.metadata(plan),
        }
    if as_json:
        give(told)
        return
    for key, value in told.items():
        click.echo(f"{key}: {value}")
    click.echo("nothing was sent")


def _sent(runtime_env: dict[str, Any]) -> list[str]:
    """The names of what a job brings along."""
    folder = runtime_env.get("working_dir")
    names = sorted(path.name for path in Path(folder).iterdir()) if folder else []
    return names + [f"pip: {item}" for item in runtime_env.get("pip", {}).get("packages", [])]


def _nothing_to_do(plan: Any) -> str:
    step = plan.record.step
    more = catgan("resume", plan.run, f"training.steps={2 * step}")
    return f"nothing to do: it has all its {step:,} steps; more: {more}"


def _answer(plan: Any, job_id: str, status: str, code: int | None, *, as_json: bool) -> None:
    if as_json:
        give({"job": job_id, "run": plan.run, "status": status, "exit_code": code})
    else:
        click.echo(plan.run)
