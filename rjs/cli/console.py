"""What commands print with: tables that line up, a progress bar, JSON, and text that is safe on a terminal.

Data goes to stdout, everything for people to stderr. Nothing printed here can carry a control, escape or
bidirectional character that came out of a bundle, a certificate or a peer: such characters become visible.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that a terminal may act on, reorder by, or show as nothing."""

Cell = str | int | float | None

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs.")
"""The ``--json`` of every command that prints data; the function receives ``as_json``."""


def safe_text(text: str) -> str:
    """Replace every character that could act on a terminal by its visible escape, such as ``\\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) if unicodedata.category(char) in UNSAFE else char for char in text)


def _visible(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def counted(number: int, what: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def say(message: str) -> None:
    """Print one message for people on stderr."""
    click.echo(safe_text(message), err=True)


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON; ASCII only, so a hostile name in it cannot act on a terminal."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows under their headings on stdout; numbers line up on the right.

    Plain aligned text where stdout is not a terminal: no colour, no wrapping, one line a row.
    """
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))
    ]
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, cells, numeric)
        return
    for line in _aligned([list(columns), *cells], numeric):
        click.echo(line)


def _cell(value: Cell) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else safe_text(str(value))


def _print_rich(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, right in zip(columns, numeric, strict=True):
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # Text: square brackets in a name are no markup
    Console().print(table)


def _aligned(lines: Sequence[Sequence[str]], numeric: Sequence[bool]) -> Iterator[str]:
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = [
            " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def _width(text: str) -> int:
    """Count terminal columns: East Asian wide characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` are done, on stderr; yields the function that takes the number done so far.

    A bar on a terminal. Elsewhere (a log) one line for each further quarter.
    """
    if not sys.stderr.isatty():
        yield _quarters(what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task(safe_text(what), total=total)
        yield lambda done: bar.update(shown, completed=done)


def _quarters(what: str, total: int) -> Callable[[int], None]:
    seen = 0

    def tell(done: int) -> None:
        nonlocal seen
        quarter = 4 * done // max(total, 1)
        if quarter > seen:
            seen = quarter
            say(f"{what}: {done} of {total}")

    return tell
