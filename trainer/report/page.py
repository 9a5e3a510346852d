"""The page about one run or several: everything on it, in one file that asks nobody for anything.

Owns what is on the page and in which order; pictures, curves and comparisons are made by the
modules of those names. The template escapes every value.
"""

import datetime
import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trainer import __version__, console, storage
from trainer import config as configs
from trainer.command_line import catgan
from trainer.config import Config
from trainer.errors import ConfigError
from trainer.report import compare, draw, series
from trainer.report.pictures import Pictures, pictures, shares
from trainer.report.run_view import Event, RunView, read_run
from trainer.run_folder import names

MOST_CHECKPOINTS = 400


@dataclass(frozen=True)
class RunPart:
    """What the template is told of one run.

    Attributes:
        name: Short, different from that of the others.
        view: What was read.
        pictures: For the slider and below.
        history: Starts and ends, oldest first; then the newest checkpoints, at most
            `MOST_CHECKPOINTS`, the newest last.
        facts: Lines of the head.
        settings: Key, value, whether it is not the default.
        commands: What for, and the command.
    """

    name: str
    view: RunView
    pictures: Pictures
    history: tuple[Event, ...]
    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str, bool], ...]
    commands: tuple[tuple[str, str], ...]


def report(addresses: Sequence[str], out: str, *, refresh_secs: int = 0) -> dict[str, Any]:
    """Writes the page about runs.

    Args:
        addresses: Of one run or several, folders or buckets.
        out: File or object to write.
        refresh_secs: The open page reads itself again so often; 0: never.

    Returns:
        `out`, `bytes`, `runs`: how many, `running`: whether one is still going.

    Raises:
        ConfigError: A run is given twice.
        CheckpointError, StorageError: See `read_run`.
    """
    runs = [read_run(address) for address in addresses]
    if len({run.address for run in runs}) < len(runs):
        raise _twice([run.address for run in runs])
    running = any(_goes_on(run) for run in runs)
    data = page(runs, refresh_secs=refresh_secs if running else 0).encode()
    place, name = storage.split_address(out)
    folder = storage.open_folder(place)
    folder.write(name, data)
    return {
        "out": folder.address_of(name),
        "bytes": len(data),
        "runs": len(runs),
        "running": running,
    }


def _goes_on(run: RunView) -> bool:
    holder, now = run.record.holder, datetime.datetime.now(datetime.UTC)
    return run.record.status == "running" and not (holder and holder.is_surely_dead(now))


def _twice(addresses: Sequence[str]) -> ConfigError:
    again = next(address for address in addresses if addresses.count(address) > 1)
    return ConfigError(
        f"the run {again} is named twice",
        expected="different runs",
        remedy=f"name it once: {catgan('report', *dict.fromkeys(addresses))}",
    )


def page(runs: Sequence[RunView], *, refresh_secs: int = 0) -> str:
    """Returns the page as HTML."""
    short = compare.short_names([run.address for run in runs])
    parts = [_part(run, name, shares(runs)) for run, name in zip(runs, short, strict=True)]
    charts = series.charts(runs, short)
    lanes = [(part.name, part.history, part.view.global_batch) for part in parts]
    return template("report.html.j2").render(
        title=" · ".join(short),
        runs=parts,
        compared=compare.compared(runs) if len(runs) > 1 else None,
        grids=[[asdict(grid) for grid in part.pictures.grids] for part in parts],
        walks=[part.pictures.walks for part in parts],
        charts=charts,
        drawn=draw.items(charts, lanes),
        colours=draw.COLOURS,
        library=draw.library(),
        refresh_secs=refresh_secs,
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


@functools.cache
def template(name: str) -> Any:
    """Returns one of our templates; it escapes every value that is put in."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("trainer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Bokeh reads a chart in order: what is referred to stands before.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.get_template(name)


def _part(run: RunView, name: str, share_mb: float) -> RunPart:
    return RunPart(
        name,
        run,
        pictures(run, share_mb),
        tuple(_shown(run.history())),
        tuple(_facts(run)),
        tuple(_settings(run.config)),
        tuple(_commands(run)),
    )


def _shown(history: Sequence[Event]) -> list[Event]:
    """All but the oldest checkpoints, of which a long run has too many for a page."""
    saved = [event for event in history if event.kind == "checkpoint"]
    return [event for event in history if event.kind != "checkpoint"] + saved[-MOST_CHECKPOINTS:]


def _facts(run: RunView) -> list[tuple[str, str]]:
    record, row = run.record, run.last_row
    facts = [
        ("status", f"{_status(run)} at step {record.step:,} of {run.config.training.steps:,}"),
        ("pictures seen", f"{record.images_seen:,}"),
        ("data set", f"{record.dataset.address} ({record.dataset.fingerprint})"),
        ("run folder", run.address),
        ("starts", f"{len(record.starts)}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    if "seconds" in row:
        facts.insert(2, ("training", console.duration(float(row["seconds"]))))
    if "images_per_sec" in row:
        waits = console.share(float(row.get("data_wait_share", 0.0)))
        facts.insert(
            3, ("speed", f"{row['images_per_sec']:,.0f} pictures/s, {waits} waiting for data")
        )
    facts += [("audited", _audited(told)) for told in run.audits]
    if record.origin:
        facts.append(("begun from", str(record.origin.get("address", ""))))
    return facts


def _status(run: RunView) -> str:
    if run.record.status == "running" and not _goes_on(run):
        return "running, with no sign of life any more,"
    return run.record.status


def _audited(told: dict[str, Any]) -> str:
    same = told["tensors"] - len(told["different"])
    why_not = f" ({told['why_not']})" if told["why_not"] else ""
    return (
        f"steps {told['first'] + 1:,} to {told['last']:,} trained again at {told['time']} in "
        f"{console.duration(told['secs'])}: {told['verdict']}{why_not}; {same} of "
        f"{told['tensors']} tensors have the same bits"
    )


def _settings(config: Config) -> list[tuple[str, str, bool]]:
    changed = configs.differences(Config(), config)
    flat = configs.flat(config)
    return [(key, _value(value), key in changed) for key, value in flat.items()]


def _value(value: Any) -> str:
    return "none" if value in ([], "", None) else str(value)


def _commands(run: RunView) -> list[tuple[str, str]]:
    address = run.address
    return [
        (
            "train it again from its own config",
            catgan("train", storage.join(address, names.CONFIG), "run=runs/again"),
        ),
        ("go on with it", catgan("resume", address)),
        ("draw with it", catgan("generate", address, "--out", "cats", "--grid")),
        ("measure it", catgan("evaluate", address)),
        ("train a stretch of it again and compare the bits", catgan("audit", address)),
        ("check every checksum", catgan("inspect", address)),
        ("make a film", catgan("film", address, "--out", "cats.webp")),
    ]
