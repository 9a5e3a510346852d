"""`catgan prepare`: a source of pictures becomes a data set.

Owns the command line only; the work is `trainer.data.prepare`.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.cli.choices import CROPS, ENCODINGS
from trainer.cli.ended_early import told_in_words


@click.command("prepare")
@click.argument("source")
@click.argument("dataset")
@click.option(
    "--size",
    "size_px",
    type=int,
    default=64,
    show_default=True,
    metavar="PX",
    help="Height and width of the prepared pictures, 8 to 1024; training takes 32, 64, 128 or 256.",
)
@click.option(
    "--crop",
    type=click.Choice(CROPS),
    default="center",
    show_default=True,
    help="center: the largest centred square. none: take only pictures that are square. "
    "face: the largest cat face found. landmarks: the face that a .cat file marks.",
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default="png",
    show_default=True,
    help="png and raw are exact; jpeg is smallest; raw reads fastest.",
)
@click.option(
    "--val-fraction",
    type=float,
    default=0.05,
    show_default=True,
    metavar="SHARE",
    help="Share of the pictures kept aside for validation, 0 to 0.5.",
)
@click.option(
    "--dedup",
    is_flag=True,
    help="Leave out near-duplicates: the same picture scaled or compressed again.",
)
@click.option("--exclude", metavar="LIST", help="A file of names to leave out, one a line.")
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Processes; default: one a core. Changes nothing in the result.",
)
@click.option(
    "--address",
    metavar="auto|local|HOST:PORT",
    help="Convert on a Ray cluster: that of RAY_ADDRESS or 'ray start' (auto), one started "
    "for this command (local), or the one with this head node. Changes nothing in the result.",
)
@click.option(
    "--package",
    type=click.Choice(["code", "pip", "none"]),
    default="code",
    show_default=True,
    help="What a running cluster is sent: this program's sources; also its requirements, which "
    "pip installs on every node; or nothing, because its image has the program.",
)
@json_option
def prepare(
    source: str,
    dataset: str,
    as_json: bool,
    address: str | None,
    package: Any,
    **fields: Any,
) -> None:
    """Turn pictures into a data set that can be trained on.

    \b
    SOURCE is one of
      DIR                     a folder, searched to any depth
      FILE.zip, FILE.tar.gz   an archive (zip, tar; never unpacked to disk)
      gs://bucket/prefix      a bucket
      tfds:NAME[:split]       from TensorFlow Datasets (of cats_vs_dogs and
                              oxford_iiit_pet only the cats)
      tfds:/path[:split]      one that is prepared already, in a folder or bucket
      drawn:N                 N cats drawn by the program itself

    DATASET is a folder or gs://bucket/prefix. Pictures are told by content, not
    by name, and never stretched or enlarged; what cannot be used is listed with
    its reason in DATASET/rejected.jsonl. Interrupted, the same command goes on
    where it stopped.
    """
    begin()
    from trainer import prepare as make
    from trainer.data.options import PrepareOptions
    from trainer.data.watch import shown

    options = PrepareOptions(**fields)
    with (
        told_in_words("what is done is kept"),
        _workers(address, package, options.workers) as make_executor,
        shown() as report,
    ):
        manifest = make(source, dataset, options, report, make_executor)
    _tell(manifest, dataset, as_json=as_json)


def _workers(address: str | None, package: Any, workers: int | None) -> AbstractContextManager[Any]:
    if address is None:
        return nullcontext()
    from trainer.launch.prepare_on_ray import on_ray

    return on_ray(address, workers=workers, package=package)


def _tell(manifest: Any, dataset: str, *, as_json: bool) -> None:
    from trainer import storage

    address, counts = storage.canonical(dataset), manifest.counts
    if as_json:
        fields = manifest.model_dump(include={"size_px", "encoding", "fingerprint", "counts"})
        give({"dataset": address, "shards": len(manifest.shards), **fields})
        return
    megabytes = sum(shard.bytes for shard in manifest.shards) / 1e6
    click.echo(
        f"{counts.train:,} pictures and {counts.validation:,} for validation, "
        f"{manifest.size_px} px, {megabytes:,.1f} MB in {len(manifest.shards)} shards",
        err=True,
    )
    if counts.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.reasons.items())
        click.echo(
            f"{counts.rejected:,} files were left out ({reasons}): "
            f"see {storage.join(address, 'rejected.jsonl')}",
            err=True,
        )
    click.echo(address)
