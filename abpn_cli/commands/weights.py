"""`abpn weights`: tasks and styles; `abpn weights import`: checkpoints from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import WeightsError, shown
from . import options
from .output import write_json, write_stdout

if TYPE_CHECKING:
    from ..weights import Listed

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def weights(context: typer.Context, json: options.JsonFile = None) -> None:
    """List tasks and styles, with the card and the checksum state of their weights.

    They are the files that come with abpn, and your own: mystyle.safetensors in your weights
    folder is --task mystyle, or --style mystyle where it grades.
    """
    if context.invoked_subcommand is not None:
        return
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


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A published checkpoint, as it was.", readable=False),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="What the weights shall be called. [default: as the checkpoint says]"),
    ] = None,
) -> None:
    """Make weights of a checkpoint that somebody published, and put them among your own.

    Only files that are known by their SHA-256 are taken. Their licence is their authors', not
    abpn's.
    """
    from ..weights_import import import_file

    if name is not None:
        options.check_file_name("--name", name, "set of weights")
    done = import_file(file, name)
    typer.echo(f"installed: {shown(done.path)}; {done.used_by}", err=True)


def _facts(row: Listed) -> dict[str, object]:
    return {
        "task": row.task,
        "verb": row.verb,
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
    from ..weights import WORDS

    megabytes = _size(row) / 1e6
    lines = [f"{one_line(row.task)}  {row.state}  {megabytes:.1f} MB  {name(row.path)}"]
    use = f"abpn {row.verb} {WORDS[row.verb][1]} {one_line(row.task)}"
    lines.append(f"  {'used by':<12} {use}")
    for key, value in row.card.items():
        if isinstance(value, str | int | float):
            lines.append(f"  {one_line(str(key)):<12} {one_line(str(value))}")
        elif isinstance(value, list):
            lines += [f"  {one_line(str(key)):<12} {one_line(str(each))}" for each in value]
    return lines
