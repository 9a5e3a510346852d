"""`catgan outliers`: training pictures unlike the others.

Owns the command line only; the work is `trainer.outliers`.
"""

from dataclasses import asdict
from typing import Any

import click

from trainer.cli.answer import begin, give, json_option


@click.command("outliers")
@click.argument("address", metavar="RUN|CHECKPOINT")
@click.option(
    "--out", required=True, metavar="DIR", help="Folder or gs://bucket/prefix for both files."
)
@click.option("--count", type=int, default=64, show_default=True, help="How many pictures to list.")
@click.option(
    "--against",
    metavar="DATASET",
    help="Rank the training pictures of this data set.  [default: the run's own]",
)
@json_option
def outliers(address: str, out: str, count: int, against: str | None, as_json: bool) -> None:
    """Find training pictures that are unlike the others.

    The discriminators of a run's newest checkpoints, 8 at most, judge every
    training picture and its mirror image, augmented as in training. A picture
    whose margin D(x) - E D(fake) lies far from the median, on either side, is
    likely to be a stranger: a drawing among photographs, a blank, a wrong crop.

    \b
    Written are
      DIR/outliers.png   the worst 64, with their names
      DIR/outliers.txt   a list of them: look at it, delete the lines of
                         pictures to keep, then
                         catgan prepare SOURCE NEW_DATASET --exclude DIR/outliers.txt
    """
    begin(tensorflow=True)
    from trainer import storage
    from trainer.data import watch
    from trainer.data.status import Status
    from trainer.launch.starting import open_dataset
    from trainer.outliers.find import find_outliers

    with watch.shown() as report:
        found = find_outliers(
            address,
            out,
            count=count,
            against=against,
            open_dataset=open_dataset,
            progress=lambda done, total: report(Status("judging", done, total)),
        )
    _tell(found, storage.open_folder(out).address, as_json=as_json)


def _tell(found: Any, folder: str, *, as_json: bool) -> None:
    from trainer import storage

    if as_json:
        give({"out": folder, **asdict(found)})
        return
    click.echo(
        f"{len(found.outliers):,} of {found.judged:,} pictures listed, judged by "
        f"{len(found.checkpoints)} checkpoints: look at {storage.join(folder, found.files[0])}, "
        f"then give {found.files[1]} to 'catgan prepare --exclude'",
        err=True,
    )
    click.echo(folder)
