"""`catgan doctor`: examines a set-up before it costs money.

Owns reading the command line, and how findings look; what is examined is
`trainer.launch.doctor`'s. For a job server the examination itself is the job.
"""

import json
from pathlib import Path
from typing import Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.command_line import catgan
from trainer.errors import ClusterError

_SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failure": ("FAILURE", "red")}
_WIDTH = max(len(word) for word, _ in _SIGNS.values())


@click.command("doctor")
@click.argument("words", nargs=-1, metavar="CONFIG [KEY=VALUE]...")
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Of the cluster: http://HEAD:8265 (the examination is sent there), auto, local or "
    "HOST:PORT. [default: as for 'catgan train']",
)
@click.option(
    "--secs",
    type=click.FloatRange(0, 3600),
    metavar="SECS",
    help="How long a piece of the run trains, to measure it; 0 leaves it out. [default: 30]",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be examined.")
@json_option
def doctor(
    words: tuple[str, ...], address: str | None, secs: float | None, dry_run: bool, as_json: bool
) -> None:
    """Check a set-up before it costs money.

    Versions, room and GPUs of the cluster; the bucket's rights, speed and
    conditional writes; the data set; then a short piece of the run itself, in a
    folder beside it that is removed: speed, memory, checkpoint against the grace
    period, time and cost to the end. Each line is ok, a warning or a failure with
    its remedy; a failure sets the exit code.
    """
    from trainer.cli.config_file import load_config

    if not words:
        raise click.UsageError("there is no CONFIG. Try 'catgan doctor configs/debug.yaml'.")
    path, *overrides = words
    config = load_config(path, list(overrides))
    begin()
    from trainer.launch import job_server
    from trainer.launch.doctor_trial import TRIAL_SECS

    secs = TRIAL_SECS if secs is None else secs
    if dry_run:
        _tell_dry(config, address, secs, as_json)
        return
    tell = (lambda finding: None) if as_json else _show
    if job_server.is_job_server(address):
        diagnosis = _sent(config, Path(path), job_server.address_of(address), secs)
        for finding in diagnosis.findings:
            tell(finding)
    else:
        from trainer.launch.doctor import examine

        diagnosis = examine(config, address, tell, trial_secs=secs)
    if as_json:
        give(diagnosis.as_dict())
    raise click.exceptions.Exit(diagnosis.exit_code)


def _sent(config: Any, path: Path, address: str, secs: float) -> Any:
    """Lets a job on the cluster examine it, and returns what that found."""
    from trainer.launch import submit
    from trainer.launch.following import Follower
    from trainer.launch.job_server import JobServer, is_on_this_machine

    server = JobServer(address)
    submit.refuse_other_ray(server)
    config = submit.with_absolute_addresses(config, shares_disk=is_on_this_machine(address))
    job_id = submit.send_examination(config, path, server, secs)
    told: list[str] = []
    follower = Follower(server, job_id, told.append, lambda line: click.echo(line, err=True))
    try:
        fate = follower.to_the_end()
    except KeyboardInterrupt:
        server.stop(job_id)  # nobody else would, and it holds the cluster's GPUs
        raise
    return _read("".join(told), fate, address)


def _read(text: str, fate: Any, address: str) -> Any:
    from trainer.launch.finding import from_dict

    start = text.rfind("\n{\n")
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start + 1 :])
        return from_dict(found)
    except (ValueError, KeyError, TypeError):
        last = text.strip().splitlines()[-1:] or [fate.job.message]
        raise ClusterError(
            f"the examination on the cluster ended with exit code {fate.exit_code}: "
            f"{last[0][:300]}",
            expected="its findings",
            remedy=f"look at its log: {catgan('logs', fate.job.id, '--address', address)}",
        ) from None


def _show(finding: Any) -> None:
    word, colour = _SIGNS[finding.state]
    sign = click.style(word.ljust(_WIDTH), fg=colour, bold=finding.state == "failure")
    click.echo(f"{sign}  {finding.name}: {finding.told}")
    if finding.remedy:
        click.echo(f"{'':{_WIDTH}}  do: {finding.remedy}")


def _tell_dry(config: Any, address: str | None, secs: float, as_json: bool) -> None:
    settings = config.cluster
    where = f"the cluster at {address}" if address else "this machine"
    what = [
        f"{where}: versions, room for {settings.workers} workers, GPUs",
        f"{config.run}: reading, conditional writing, speed",
        f"{config.dataset.address}: shards, lanes, a picture",
    ]
    if secs:
        what.append(f"a piece of the run, {secs:g} s, in {config.run}-doctor-…, removed after it")
    if as_json:
        give({"would_examine": what})
        return
    for line in what:
        click.echo(f"would examine {line}")
