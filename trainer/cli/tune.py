"""`catgan tune`: a search for better settings.

Owns the command line and the table; the work is `trainer.launch.tuning`.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.cli.ended_early import told_in_words


@click.command("tune")
@click.argument("config", metavar="CONFIG")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--over",
    multiple=True,
    required=True,
    metavar="KEY=a,b,c|KEY=low..high",
    help="Try these values, or draw from this range, evenly in the logarithm ('low..high linear': "
    "evenly). Once for each key.",
)
@click.option(
    "--trials",
    type=int,
    metavar="N",
    help="How many. [default: every combination; with a range 16]",
)
@click.option(
    "--out",
    metavar="ADDRESS",
    help="Folder or gs://bucket/prefix of the search. [default: searches/<config name>]",
)
@click.option(
    "--address",
    default="local",
    show_default=True,
    metavar="ADDRESS",
    help="Ray cluster: local (one for this command), auto (RAY_ADDRESS, or this machine's) or "
    "HOST:PORT.",
)
@json_option
def tune(
    config: str,
    overrides: tuple[str, ...],
    over: tuple[str, ...],
    trials: int | None,
    out: str | None,
    address: str,
    as_json: bool,
) -> None:
    """Search for better settings.

    \b
    For example
      catgan tune configs/cats64.yaml training.steps=3000 \\
        --over discriminator_optimizer.rate=1e-4..1e-3 \\
        --over augment.kinds=[],[colour,translation,cutout] --trials 12

    Each trial is a run of its own in ADDRESS/trials, on cluster.cpus_per_worker
    cores and cluster.gpus_per_worker GPUs, as many side by side as there is room
    for. Trials are scored against held-out pictures after a ninth and a third of
    training.steps, and go on if they are among the best third of those that came
    so far (ASHA). Cut short, the same command goes on. The winner's config is
    ADDRESS/best.yaml.
    """
    begin()
    from trainer.launch.tuning import search as searches
    from trainer.launch.tuning.on_ray import run_search

    name = Path(config).stem
    found = _planned(config, overrides, over, out or f"searches/{name}", trials)
    with told_in_words("scores and the trials' checkpoints are kept"):
        failed = run_search(found, address)
    rows = searches.rows_of(found, failed)
    best = searches.write_best(found, rows, name)
    if as_json:
        give(_as_dict(found, rows, failed, best))
        return
    _show(found, rows, failed)
    click.echo(best)


def _planned(
    config: str, overrides: tuple[str, ...], over: tuple[str, ...], out: str, trials: int | None
) -> Any:
    """The search, its data set ready and large enough to judge by."""
    from trainer import storage
    from trainer.cli.config_file import load_config
    from trainer.data.shards import checked_manifest
    from trainer.launch import starting
    from trainer.launch.tuning import search as searches
    from trainer.launch.tuning.score import judged_count
    from trainer.launch.tuning.space import read_axis

    base = load_config(config, list(overrides))
    found = searches.plan(base, [read_axis(text) for text in over], out, trials)
    starting.refuse_other_pictures(found.base, is_new=True)
    starting.prepare_if_missing(found.base)
    # Before the first trial is trained, not after.
    folder = storage.open_folder(found.base.dataset.address)
    judged_count(checked_manifest(folder), folder.address)
    return found


def _as_dict(found: Any, rows: Any, failed: dict[int, str], best: str) -> dict[str, Any]:
    trials = [asdict(row) | {"why": failed.get(row.number, "")} for row in rows]
    about = {"search": found.address, "best": best, "features": found.features}
    return {**about, "rungs": found.rungs, "trials": trials}


def _show(found: Any, rows: Any, failed: dict[int, str]) -> None:
    from trainer.cli.tables import table_text

    columns = ["trial", *found.keys, "step", "kernel distance", "±", "state"]
    cells = [
        [
            str(row.number),
            *(row.settings[key] for key in found.keys),
            f"{row.step:,}",
            "" if row.distance is None else f"{row.distance:.4g}",
            "" if row.error is None else f"{row.error:.2g}",
            f"{row.state}: {failed[row.number]}" if row.state == "failed" else row.state,
        ]
        for row in rows
    ]
    click.echo(
        table_text(columns, cells, right=["step", "kernel distance", "±"]), nl=False, err=True
    )
