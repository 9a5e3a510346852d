"""`catgan film`: the grids of a run as a film.

Owns the command line only; the work is `trainer.report.film`'s.
"""

import click

from trainer import console
from trainer.cli.answer import begin, give, json_option


@click.command("film")
@click.argument("address", metavar="RUN")
@click.option(
    "--out", required=True, metavar="FILE", help="Ends in .gif, .webp or .mp4; gs:// too."
)
@click.option("--across", type=click.IntRange(1, 64), default=6, show_default=True)
@click.option(
    "--down",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Pictures of the grid to show, across and down.",
)
@click.option("--frames", type=click.IntRange(2, 1000), default=60, show_default=True)
@click.option("--fps", type=click.FloatRange(0.5, 60), default=8.0, show_default=True)
@click.option(
    "--width", type=click.IntRange(96, 3840), default=480, show_default=True, help="At most, px."
)
@click.option(
    "--most-mb",
    type=click.FloatRange(0.05, 500),
    default=5.0,
    show_default=True,
    help="Size of the file: frames are left out, then pixels, until it fits.",
)
@json_option
def film(
    address: str,
    out: str,
    across: int,
    down: int,
    frames: int,
    fps: float,
    width: int,
    most_mb: float,
    as_json: bool,
) -> None:
    """Make a film of a run: the same latents, step by step."""
    begin()
    from trainer import FilmOptions, write_film

    found = write_film(address, out, FilmOptions(across, down, frames, fps, width, most_mb))
    if as_json:
        give(found)
        return
    click.echo(f"{found['frames']} frames, {console.size(found['bytes'])}", err=True)
    click.echo(found["out"])
