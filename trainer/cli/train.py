"""`catgan train`: a config, or nothing but pictures.

Owns reading the command line. The choice of settings for bare pictures is
`trainer.cli.bare_pictures`, the table of a dry run `trainer.cli.dry_run`, training itself
`trainer.launch.door`.
"""

import click

from trainer.cli.answer import begin, json_option
from trainer.cli.choices import CROPS
from trainer.cli.config_file import load_config
from trainer.config import Config, setting


@click.command("train")
@click.argument("words", nargs=-1, metavar="[CONFIG] [KEY=VALUE]...")
@click.option(
    "--pictures",
    metavar="DIR",
    help="A folder, zip or tar file of pictures. No CONFIG then: settings are chosen from them "
    "and written to a file.",
)
@click.option(
    "--run",
    "--out",
    "run",
    metavar="ADDRESS",
    help="The run folder: a path or gs://bucket/prefix. The same as run=ADDRESS.",
)
@click.option(
    "--crop",
    type=click.Choice(CROPS),
    help="With --pictures: how a picture becomes square. [default: center]",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Train on a Ray cluster: local (one for this command), auto (RAY_ADDRESS, or this "
    "machine's) or HOST:PORT. [default with several cluster.workers: RAY_ADDRESS, else local]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be trained; write nothing.")
@click.option("--keys", is_flag=True, help="Show every key of a config, its default and meaning.")
@json_option
def train(
    words: tuple[str, ...],
    pictures: str | None,
    run: str | None,
    crop: str | None,
    address: str | None,
    dry_run: bool,
    keys: bool,
    as_json: bool,
) -> None:
    """Train a run, or go on with it if it exists.

    CONFIG is a YAML file such as configs/debug.yaml; KEY=VALUE, for example
    training.steps=1000, replaces one of its keys. Ctrl-C ends the run after a
    checkpoint; the same command goes on from there. The run's address goes to
    standard output.

    With cluster.workers=2 or more, or --address, the workers of a Ray cluster
    train; without, this process does.
    """
    if keys:
        from trainer.cli.keys import show_keys

        show_keys(as_json=as_json)
        return
    if pictures is not None:
        if address is not None:
            raise click.UsageError(
                "--address goes with a CONFIG; --pictures trains in this process"
            )
        _train_pictures(pictures, words, run, crop, dry_run=dry_run, as_json=as_json)
        return
    if crop is not None:
        raise click.UsageError("--crop goes with --pictures; with a config write dataset.crop=…")
    config = _named_config(words, run)
    if dry_run:
        _dry_run(config, as_json=as_json)
    else:
        _launch(config, address, as_json=as_json)


def _named_config(words: tuple[str, ...], run: str | None) -> Config:
    if not words:
        raise click.UsageError(
            "there is neither a CONFIG nor --pictures DIR. Try 'catgan train configs/debug.yaml'."
        )
    path, *overrides = words
    return load_config(path, [*overrides, *_run_override(run)])


def _run_override(run: str | None) -> list[str]:
    # Quoted, because an override's value is read as YAML.
    return [] if run is None else [setting("run", run)]


def _train_pictures(
    pictures: str,
    overrides: tuple[str, ...],
    run: str | None,
    crop: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    if overrides and "=" not in overrides[0]:
        raise click.UsageError(
            f"with --pictures there is no CONFIG, but {overrides[0]!r} was given. "
            "Write dataset.source: into the config instead of --pictures."
        )
    begin(tensorflow=True)
    import tensorflow as tf

    from trainer import storage
    from trainer.cli import bare_pictures
    from trainer.run_folder import RunFolder

    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    plan = bare_pictures.plan(pictures, run=run, crop=crop, overrides=overrides, device=device)
    plan.tell(dry_run=dry_run)
    if dry_run:
        _dry_run(plan.config, as_json=as_json)
        return
    # An address that cannot be used is told before anything is written.
    RunFolder(storage.open_folder(plan.config.run)).read_record()
    plan.write()
    _launch(plan.config, None, as_json=as_json)


def _dry_run(config: Config, *, as_json: bool) -> None:
    from trainer.cli.answer import give

    begin(tensorflow=True)
    from trainer.cli import dry_run
    from trainer.summary import summarise

    found = summarise(config)
    if as_json:
        give(dry_run.as_dict(found))
    else:
        click.echo(dry_run.render(found), nl=False)


def _launch(config: Config, address: str | None, *, as_json: bool) -> None:
    begin(config.log.file)
    from trainer import train as start
    from trainer.cli.outcome import tell
    from trainer.launch.starting import Options

    tell(start(config, Options(address=address)), as_json=as_json)
