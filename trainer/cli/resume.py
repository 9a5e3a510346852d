"""`catgan resume`: goes on with a run from its address alone.

Owns reading the command line; what may be overridden and where a run goes on
from is decided in `trainer.launch.door`.
"""

from typing import Any

import click

from trainer.cli.answer import begin, json_option
from trainer.cli.jobs import send
from trainer.command_line import catgan
from trainer.errors import ConfigError


@click.command("resume")
@click.argument("run", metavar="RUN")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--from",
    "from_step",
    metavar="STEP",
    help="Go on from this checkpoint, e.g. step-000012000; what came after it no longer counts.",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Train on a Ray cluster: local, auto or HOST:PORT, see 'catgan train --help'; or submit "
    "it as a job: http://HEAD:8265.",
)
@click.option(
    "--follow/--no-follow", default=True, help="With http://…: see 'catgan submit --help'."
)
@click.option("--dry-run", is_flag=True, help="Check everything here; write and send nothing.")
@json_option
def resume(
    run: str,
    overrides: tuple[str, ...],
    from_step: str | None,
    address: str | None,
    follow: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go on with a run from its newest whole checkpoint.

    RUN is the run's folder or gs://bucket/prefix; its config lies there. More
    steps, other intervals or rates can be given as KEY=VALUE and are recorded
    in the run's history. What would change the networks, the order of the
    pictures or the seed is refused.
    """
    address_of_run, step = _named(run, from_step)
    begin()
    from trainer import resume as go_on
    from trainer.cli.outcome import tell
    from trainer.launch import job_server

    if dry_run or job_server.is_job_server(address):
        plan, where = _plan(address_of_run, overrides, step, address)
        send(plan, where, "", follow=follow, dry_run=dry_run, as_json=as_json)
        return
    from trainer.launch.starting import Options

    options = Options(from_step=step, address=address)
    tell(go_on(address_of_run, overrides, options), as_json=as_json)


def _named(run: str, from_step: str | None) -> tuple[str, int | None]:
    """The run and the step to go on from; None: its newest checkpoint."""
    from trainer.run_folder import split_run_address
    from trainer.run_folder.names import parse_step

    if run.endswith((".yaml", ".yml")):
        raise ConfigError(
            f"{run} is a config, not a run",
            expected="the address of a run folder, e.g. runs/cats64",
            remedy=f"{catgan('train', run)} goes on with the run that this config names",
        )
    address, named = split_run_address(run)
    step = named if from_step is None else parse_step(from_step)
    if named is not None and step != named:
        raise ConfigError(
            f"{run} names one checkpoint and --from {from_step} another",
            expected="one of the two",
            remedy=catgan("resume", address, "--from", from_step),
        )
    return address, step


def _plan(
    run: str, overrides: tuple[str, ...], step: int | None, address: str | None
) -> tuple[Any, str | None]:
    """What would be sent, checked, and to which job server; None: to none."""
    from trainer.launch import job_server
    from trainer.launch.submit import plan_resumption

    where = job_server.address_of(address) if job_server.is_job_server(address) else None
    shares_disk = where is None or job_server.is_on_this_machine(where)
    return plan_resumption(run, overrides, step, shares_disk=shares_disk), where
