"""`catgan submit`: sends a run to a Ray cluster and watches it.

Owns reading the command line; sending and watching is `jobs.py`'s, what is checked
`trainer.launch.submit`'s, the manifest for Kubernetes `trainer.launch.kuberay`'s.
"""

from pathlib import Path
from typing import Any

import click

from trainer.cli.answer import begin, json_option
from trainer.cli.jobs import address_option, send
from trainer.errors import ConfigError


@click.command("submit")
@click.argument("words", nargs=-1, metavar="CONFIG [KEY=VALUE]...")
@address_option
@click.option(
    "--follow/--no-follow",
    default=True,
    help="Show the job's log until it ends, and exit as it does. [default: follow]",
)
@click.option("--name", metavar="NAME", default="", help="For the dashboard. [default: the run's]")
@click.option(
    "--kuberay",
    is_flag=True,
    help="Write a RayJob manifest for this run instead: catgan submit … --kuberay | kubectl "
    "apply -f -",
)
@click.option("--dry-run", is_flag=True, help="Check everything here and show it; send nothing.")
@json_option
def submit(
    words: tuple[str, ...],
    address: str | None,
    follow: bool,
    name: str,
    kuberay: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send a run to a Ray cluster, and watch it.

    CONFIG and KEY=VALUE are those of 'catgan train'. Config, addresses and data
    set are checked here before anything is sent; run and data set must lie where
    the cluster reaches them (gs://…). The exit code is that of the run. Ctrl-C
    asks whether to stop the job or only stop watching. The same command again
    goes on with a run that ended early. The run's address goes to standard
    output.
    """
    from trainer.cli.config_file import load_config

    if not words:
        raise click.UsageError("there is no CONFIG. Try 'catgan submit configs/cluster-gpu.yaml'.")
    path, *overrides = words
    config = load_config(path, list(overrides))
    begin()
    if kuberay:
        _render(config, Path(path), name, as_json=as_json)
        return
    from trainer.launch import job_server
    from trainer.launch.submit import plan_training

    where = None if dry_run and address is None else job_server.address_of(address)
    shares_disk = where is None or job_server.is_on_this_machine(where)
    plan = plan_training(config, Path(path), shares_disk=shares_disk)
    send(plan, where, name, follow=follow, dry_run=dry_run, as_json=as_json)


def _render(config: Any, path: Path, name: str, *, as_json: bool) -> None:
    from trainer import storage
    from trainer.launch.hold import hold
    from trainer.launch.kuberay import manifest, to_yaml
    from trainer.launch.submit import plan_training
    from trainer.run_folder import RunFolder

    if as_json:
        raise ConfigError(
            "--kuberay writes YAML, and --json was given",
            expected="one of the two",
            remedy="leave --json out",
        )
    plan = plan_training(config, path, shares_disk=False)
    if plan.finished:
        raise ConfigError(
            f"{plan.run} has done all its {config.training.steps:,} steps",
            expected="a run with steps to do, before a cluster is made for it",
            remedy="training.steps=…, or another run=…",
        )
    # A second job would make a cluster of its own, to be told there that the first one trains.
    with hold(RunFolder(storage.open_folder(plan.run))):
        click.echo(to_yaml(manifest(plan, name)), nl=False)
