"""`catgan generate`: pictures from a trained generator.

Owns the command line only; the work is `trainer.drawing`.
"""

import click

from trainer.cli.answer import begin, give, json_option


@click.command("generate")
@click.argument("address", metavar="[RUN|CHECKPOINT|FILE.keras]", default="shipped")
@click.option(
    "--out", required=True, metavar="DIR", help="Folder or gs://bucket/prefix for the pictures."
)
@click.option("--count", type=int, default=64, show_default=True, help="How many pictures.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The first seed; the rest count up."
)
@click.option("--grid", is_flag=True, help="Also write all of them side by side: grid.png.")
@click.option(
    "--interpolate",
    is_flag=True,
    help="Draw the way from each seed to the next: spherical for normal latents, linear for "
    "uniform ones.",
)
@click.option(
    "--truncation",
    type=float,
    metavar="T",
    help="Draw latents beyond plus or minus T again, e.g. 1.0: less variety, fewer failures. "
    "Normal latents only.",
)
@json_option
def generate(
    address: str,
    out: str,
    count: int,
    seed: int,
    grid: bool,
    interpolate: bool,
    truncation: float | None,
    as_json: bool,
) -> None:
    """Draw pictures with the averaged generator.

    From the newest whole checkpoint of a run, from one checkpoint
    (RUN/checkpoints/step-000012000), or from the generator.keras of a finished
    run; without an address from the small generator of drawn cats that comes
    with the program. A picture's seed is in its name, and the same seed gives the same
    bytes on the same device, whatever is drawn beside it.
    """
    begin(tensorflow=True)
    from trainer import GenerateOptions, storage
    from trainer import generate as draw

    wish = GenerateOptions(
        count=count, seed=seed, grid=grid, interpolate=interpolate, truncation=truncation
    )
    names = draw(address, out, wish)
    folder = storage.open_folder(out)
    if as_json:
        give({"out": folder.address, "files": names})
        return
    click.echo(f"{len(names):,} files, {names[0]} to {names[-1]}", err=True)
    click.echo(folder.address)
