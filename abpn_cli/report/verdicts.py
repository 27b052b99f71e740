"""Telling what a check of delivered photos found: a table, its sum, a bar while it goes on."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .lines import one_line

_WIDE = 10_000  # columns where nobody looks: a line is never broken for a program
_STYLES = {"ok": "", "changed": "yellow"}


class Row(NamedTuple):
    """A photo, its verdict in one word, and what is the matter with it."""

    photo: str
    verdict: str
    words: str


def table(rows: Sequence[Row]) -> str:
    """Lay rows out as a table, coloured and fitted where stdout is a terminal."""
    if not rows:
        return ""
    live = sys.stdout.isatty()
    text = io.StringIO()
    console = Console(
        file=text,
        force_terminal=live,
        no_color="NO_COLOR" in os.environ,
        width=None if live else _WIDE,
        markup=False,
        highlight=False,
        emoji=False,
    )
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    grid.add_column("photo", overflow="fold")
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("what", overflow="fold")
    for row in rows:
        style = _STYLES.get(row.verdict, "red")
        grid.add_row(
            Text(one_line(row.photo)), Text(row.verdict, style=style), Text(one_line(row.words))
        )
    console.print(grid)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


@contextmanager
def bar(total: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """Show a bar on stderr inside the block, on a terminal; yields what moves it by one."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    if not (wanted and total and sys.stderr.isatty()):
        yield lambda: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("photos", total=total)
        yield lambda: progress.advance(task)
