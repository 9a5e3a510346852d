"""Tables on standard output.

Owns their look and width. Text is never read as markup, and never styled where
standard output is not a terminal.
"""

import io
import shutil
import sys
from collections.abc import Sequence

import click

_WIDEST = 160
_WIDTH_WITHOUT_TERMINAL = 120


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Writes a table to standard output."""
    click.echo(table_text(columns, rows, title), nl=False)


def table_text(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "",
    *,
    right: Sequence[str] = (),
) -> str:
    """Returns a table as text.

    Args:
        columns: Headings; all empty: none are shown.
        rows: Cells, as many in each row as there are columns.
        title: Line above it.
        right: Headings of columns that are aligned to the right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=any(columns), expand=False)
    for index, name in enumerate(columns):
        table.add_column(
            Text(name),
            justify="right" if name in right else "left",
            no_wrap=index == 0,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(file=io.StringIO(), width=_width(), no_color=True, emoji=False)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join([*([title] if title else []), *(line for line in lines if line)]) + "\n"


def _width() -> int:
    if not sys.stdout.isatty():
        return _WIDTH_WITHOUT_TERMINAL
    return min(_WIDEST, shutil.get_terminal_size().columns)
