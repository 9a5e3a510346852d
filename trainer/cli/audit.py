"""`catgan audit`: whether a published run is what its config and pictures give.

Owns the command line and how the answer looks; the work is `trainer.launch.audit`'s.
"""

from typing import TYPE_CHECKING

import click

from trainer import console
from trainer.cli.answer import begin, give, json_option

if TYPE_CHECKING:
    from trainer.launch.audit import Audit

_MOST_SHOWN = 8


@click.command("audit")
@click.argument("address", metavar="RUN")
@click.option(
    "--interval",
    default="random",
    show_default=True,
    metavar="random|last|STEP",
    help="Which stretch between two checkpoints; STEP is the one at its end.",
)
@click.option("--dataset", default="", metavar="ADDRESS", help="The pictures. [default: the run's]")
@click.option(
    "--scratch",
    default="",
    metavar="ADDRESS",
    help="Where the stretch is trained; removed at the end. [default: ./audit-…]",
)
@click.option("--note", is_flag=True, help="Keep the result in the run folder, for its report.")
@json_option
def audit(
    address: str, interval: str, dataset: str, scratch: str, note: bool, as_json: bool
) -> None:
    """Train one stretch of a run again and compare the bits.

    Anybody with the run, its pictures and minutes can check what they would else believe. On a
    machine of another kind, or for a run that is not deterministic, it says what can be compared
    and what not. RUN may be the word shipped. Exit code 5: something was changed.
    """
    begin(tensorflow=True)
    from trainer.launch import audit as auditing

    found = auditing.audit(address, interval=interval, dataset=dataset, scratch=scratch)
    if note:
        click.echo(f"noted in {auditing.note(found)}", err=True)
    if as_json:
        give(auditing.told(found))
    else:
        click.echo(_text(found))
    found.raise_if_different()


def _text(found: "Audit") -> str:
    again = f"steps {found.first + 1:,} to {found.last:,} trained again in "
    lines = [
        f"{found.verdict}: {again}{console.duration(found.secs)}",
        f"{found.tensors - len(found.different)} of {found.tensors} tensors have the same bits",
    ]
    if not found.exact:
        lines.append(f"bits can differ here though nothing was changed: {found.why_not}")
    lines += [f"  {line}" for line in found.different[:_MOST_SHOWN]]
    more = len(found.different) - _MOST_SHOWN
    return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])
