"""`catgan report`: a page about runs, to look at instead of reading.

Owns the command line and the watching of a run that is going; the page is `trainer.report.page`'s.
"""

import time

import click

from trainer import console
from trainer.cli.answer import begin, give, json_option
from trainer.errors import ConfigError


@click.command("report")
@click.argument("addresses", metavar="RUN [RUN ...]", nargs=-1, required=True)
@click.option(
    "--out", default="report.html", show_default=True, metavar="FILE", help="Local, or gs://."
)
@click.option(
    "--watch",
    type=click.FloatRange(min=2),
    metavar="SECS",
    help="While a run is going: write the page anew so often; an open page reads itself again.",
)
@json_option
def report(addresses: tuple[str, ...], out: str, watch: float | None, as_json: bool) -> None:
    """Make one self-contained page about a run, or several side by side.

    Grids over time, pictures with seed and D's answer, walks between latents, curves, history,
    settings, commands. It opens from disk, needs no network, and reads buckets as well as folders.
    """
    begin()
    from trainer.report import page

    if not out.endswith((".html", ".htm")):
        raise ConfigError(
            f"--out {out} is no page",
            expected="a name that ends in .html",
            remedy="--out report.html",
        )
    while True:
        found = page.report(addresses, out, refresh_secs=round(watch or 0))
        if not (watch and found["running"]):
            break
        click.echo(f"{found['out']} ({console.size(found['bytes'])}); the run goes on", err=True)
        time.sleep(watch)
    if as_json:
        give(found)
        return
    click.echo(console.size(found["bytes"]), err=True)
    click.echo(found["out"])
