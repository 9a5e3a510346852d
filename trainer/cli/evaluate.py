"""`catgan evaluate`: how good pictures are, measured against real ones.

Owns the command line and how the answer looks; measuring is `trainer.evaluation`'s.
"""

import logging
from typing import TYPE_CHECKING, Any

import click

from trainer.cli.answer import begin, give, json_option
from trainer.cli.tables import table_text
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from trainer.evaluation.result import Evaluation, Result

log = logging.getLogger("catgan")


def _listed(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@click.command("evaluate")
@click.argument("address", metavar="RUN|CHECKPOINT|FOLDER")
@click.option(
    "--against",
    metavar="DATASET",
    help="The real pictures: a data set that prepare wrote. [default: the run's own]",
)
@click.option(
    "--metrics",
    default="",
    callback=_listed,
    metavar="NAMES",
    help="Some of fid,kid,pr,dc,nearest. [default: all that there are enough pictures for]",
)
@click.option(
    "--features",
    default="auto",
    show_default=True,
    callback=_listed,
    metavar="NAMES",
    help="Feature networks: inception[:FILE.pb], efficientnet-lite0, keras:NAME, FILE.keras, "
    "FILE.h5; with @16px behind for pictures reduced to 16 px first. auto: what is here and has "
    "passed its ladder at this size.",
)
@click.option(
    "--count",
    type=int,
    help="Pictures on each side. [default: all of the split, at most 10,000]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first picture drawn.")
@click.option(
    "--split",
    type=click.Choice(["validation", "train"]),
    default="validation",
    show_default=True,
    help="Of the real pictures; published FIDs are mostly against train.",
)
@click.option(
    "--out", metavar="DIR", help="Also write evaluation.json and nearest.png there, or to gs://."
)
@json_option
def evaluate(
    address: str,
    against: str | None,
    metrics: tuple[str, ...],
    features: tuple[str, ...],
    count: int | None,
    seed: int,
    split: Any,
    out: str | None,
    as_json: bool,
) -> None:
    """Measure pictures against real ones: a run's, a checkpoint's, or a folder of files.

    Beside every figure stands the same one for real pictures of the other
    split, if it has as many: no generator can be asked to be nearer. What was
    measured with what is part of the answer, and figures of unlike origin are
    not compared.
    """
    begin(tensorflow=True)
    from trainer.evaluation.evaluate import EvaluateOptions, measure, open_sides
    from trainer.evaluation.files import write

    wish = EvaluateOptions(metrics, features or ("auto",), count, seed, split)
    against = against or _own_data_set(address)
    sides = open_sides(address, against, wish)
    with _Bar() as bar:
        found = measure(sides, wish, progress=bar.show)
    if out:
        write(found, sides, out)
    if as_json:
        give(found.as_dict())
        return
    click.echo(_text(found), nl=False)


def _own_data_set(address: str) -> str:
    from trainer import storage
    from trainer.run_folder import RunFolder, split_run_address

    record = RunFolder(storage.open_folder(split_run_address(address)[0])).read_record()
    if record is None:
        raise ConfigError(
            f"{address} is no run, so its real pictures are not known",
            expected="--against DATASET",
            remedy="give the data set: --against datasets/NAME",
        )
    return record.dataset.address


class _Bar:
    """Progress on a terminal, and a line now and then in a log."""

    def __enter__(self) -> "_Bar":
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from trainer import console

        terminal = console.terminal()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._bar = Progress(*columns, console=terminal, disable=not terminal.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Takes one report of `trainer.evaluation.evaluate.Progress`."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)
        if self._bar.disable and done == total:
            log.info("%s: %s measured", what, f"{total:,}")


def _text(found: "Evaluation") -> str:
    head = f"{found.subject}\nagainst {found.against}\n"
    return head + "".join(_result_text(result) for result in found.results)


def _result_text(result: "Result") -> str:
    origin = result.provenance
    title = (
        f"{origin.features} (weights {origin.weights_sha256[:8]}), {origin.count:,} pictures on "
        f"each side, {origin.size_px} px, {origin.split}"
    )
    rows = [
        [result.label(name), _number(figure.value, figure.error), _beside(figure)]
        for name, figure in result.figures.items()
    ]
    text = table_text(["", "here", "real pictures"], rows, title)
    for metric, why in result.left_out.items():
        text += f"left out: {metric}: {why}\n"
    return text + "".join(f"{line}\n" for line in result.scale())


def _number(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


def _beside(figure: Any) -> str:
    return "" if figure.baseline is None else _number(figure.baseline, figure.baseline_error)
