"""`catgan logs`: what a submitted job has written."""

import sys

import click

from trainer.cli.answer import begin
from trainer.cli.jobs import address_option, end, server_at
from trainer.errors import ClusterError


@click.command("logs")
@click.argument("word", metavar="RUN|JOB")
@address_option
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends; exit as it does.")
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines.")
def logs(word: str, address: str | None, follow: bool, tail: int | None) -> None:
    """Show the log of a job, or of the newest job of a run."""
    if follow and tail:
        raise click.UsageError("--tail and --follow do not go together; leave one out")
    begin()
    from trainer.launch import attend

    server = server_at(address)
    found = attend.find(word, server)
    if found.job is None:
        raise ClusterError(
            f"{server.address} has no job of {word}",
            expected="a run that was submitted there",
            remedy="'catgan inspect RUN' tells who trained it",
        )
    if not follow:
        lines = server.log(found.job.id).splitlines()
        click.echo("\n".join(lines[-tail:] if tail else lines))
        return
    from trainer.cli.job_log import watch

    end(watch(server, found.job.id, sys.stdout))
