"""`catgan replay`: one step of a run, rebuilt and looked into.

Owns the command line only; the work is `trainer.launch.replay`'s and `trainer.report.step_page`'s.
"""

import click

from trainer.cli.answer import begin, give, json_option


@click.command("replay")
@click.argument("address", metavar="RUN")
@click.argument("words", metavar="[KEY=VALUE ...]", nargs=-1)
@click.option("--step", type=click.IntRange(min=1), required=True, help="Counted from 1.")
@click.option(
    "--out", default="", metavar="DIR", help="Folder for the page and the arrays. [default: step-N]"
)
@click.option("--dataset", default="", metavar="ADDRESS", help="The pictures. [default: the run's]")
@click.option(
    "--scratch",
    default="",
    metavar="ADDRESS",
    help="Where the steps before it are trained; removed at the end. [default: ./replay-…]",
)
@json_option
def replay(
    address: str,
    words: tuple[str, ...],
    step: int,
    out: str,
    dataset: str,
    scratch: str,
    as_json: bool,
) -> None:
    """Look into any step of a run, rebuilt from the checkpoint before it.

    Its pictures, latents, what D saw, said, and how steeply it changed at each picture: as a page
    and as NumPy arrays. KEY=VALUE for what was different then, such as training.rollbacks=0.
    """
    begin(tensorflow=True)
    from trainer.launch import replay as replaying
    from trainer.report import step_page
    from trainer.run_folder import step_name

    found = replaying.replay(address, step, overrides=words, dataset=dataset, scratch=scratch)
    written = step_page.write(found, out or step_name(step))
    if as_json:
        give({"files": written, "from_step": found.from_step, "figures": found.figures,
              "noted": found.noted})  # fmt: skip
        return
    for line in written:
        click.echo(line)
