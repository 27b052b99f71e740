"""`abpn weights`: the tasks there are, and whether their weights are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ..errors import WeightsError, shown
from . import options
from .output import write_json, write_stdout

if TYPE_CHECKING:
    from ..weights import Listed


def weights(json: options.JsonFile = None) -> None:
    """List the tasks, with the card and the checksum state of their weights.

    Tasks are the files that come with abpn, and your own: mystyle.safetensors in your weights
    folder is --task mystyle.
    """
    from .. import weights as room

    rows = room.listed()
    if json is not None:
        write_json(json, [_facts(row) for row in rows])
    else:
        for row in rows:
            write_stdout("\n".join(_lines(row)) + "\n")
        typer.echo(f"your own weights go to {shown(room.user_folder())}", err=True)
    if any(row.state == "damaged" for row in rows):
        raise typer.Exit(WeightsError.exit_code)


def _facts(row: Listed) -> dict[str, object]:
    return {
        "task": row.task,
        "file": shown(row.path),
        "state": row.state,
        "bytes": _size(row),
        "card": dict(row.card),
    }


def _size(row: Listed) -> int:
    """Return the bytes of a weights file; 0 for a link that leads nowhere, told as damaged."""
    try:
        return row.path.stat().st_size
    except OSError:
        return 0


def _lines(row: Listed) -> list[str]:
    """Write a task for people: its state, then its card, nested entries left to the file."""
    from ..report.lines import name, one_line

    megabytes = _size(row) / 1e6
    lines = [f"{one_line(row.task)}  {row.state}  {megabytes:.1f} MB  {name(row.path)}"]
    for key, value in row.card.items():
        if isinstance(value, str | int | float):
            lines.append(f"  {one_line(str(key)):<12} {one_line(str(value))}")
        elif isinstance(value, list):
            lines += [f"  {one_line(str(key)):<12} {one_line(str(each))}" for each in value]
    return lines
