"""The figures as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from .cases import PAPER
from .end_to_end import Figures
from .speed import MIB, STAGES, Row, Sized

WIDTH = 150  # columns; a pipe has none of its own
NOTHING = "–"


def machine_text(machine: Mapping[str, Any]) -> str:
    """Say in a line what was measured on."""
    return "  ".join(f"{key} {value}" for key, value in machine.items())


def speed_text(sized: Sized) -> str:
    """Draw what was measured at one size: how fast, then where the time goes, and how exact."""
    size = sized.size
    plain = sized.rows[0]
    fast = _table(
        f"{size}, {size.megapixels:.1f} megapixels",
        ("", "seconds", "least–most", "× plain", "CPU s", "CPU × plain", "ms/MP")
        + ("peak MiB", "above MiB", "device MiB"),
    )
    exact = _table(
        "milliseconds by stage; distance from the untiled float32 result",
        ("", *STAGES, "of 1/255", "PSNR dB", "where the gate is 0"),
    )
    for row in sized.rows:
        if row.seconds:
            fast.add_row(row.name, *_speed_cells(row, plain, size.megapixels))
        if row.stages:
            exact.add_row(row.name, *_exact_cells(row))
    lines = [_drawn(fast), _drawn(exact), *(_left_out(sized.rows)), _floor(sized)]
    paper = PAPER.get(size)
    if paper is not None:
        lines.append(
            f"Paper, Table 3 (Tesla P100): {paper.seconds * 1000:.0f} ms, {paper.megabytes} MB."
        )
        lines += [_without_copies(row) for row in sized.rows if row.stages and row.share == 1]
    return "\n".join(lines) + "\n"


def _table(title: str, headings: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    return table


def _speed_cells(row: Row, plain: Row, megapixels: float) -> list[str]:
    seconds = median(row.seconds)
    return [
        _seconds(seconds),
        f"{_seconds(min(row.seconds))}–{_seconds(max(row.seconds))}",
        _times(plain.seconds, row.seconds),
        f"{median(row.cpu_seconds):.3f}",
        _times(plain.cpu_seconds, row.cpu_seconds),
        f"{seconds / megapixels * 1000:.1f}",
        *(_mebibytes(value) for value in (row.peak, row.above, row.device_peak)),
    ]


def _seconds(seconds: float) -> str:
    """Three decimals; five of what is over in no time, as on a GPU."""
    return f"{seconds:.5f}" if seconds < 0.1 else f"{seconds:.3f}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f}" if seconds < 0.01 else f"{seconds * 1000:.0f}"


def _times(slow: Sequence[float], fast: Sequence[float]) -> str:
    return f"{median(slow) / median(fast):.1f}" if slow else NOTHING


def _exact_cells(row: Row) -> list[str]:
    if row.largest is None:
        told = [NOTHING] * 3
    else:
        psnr = "equal" if row.psnr is None else f"{row.psnr:.1f}"
        told = [f"{row.largest * 255:.5f}", psnr, "exact" if row.untouched else "CHANGED"]
    return [*(_milliseconds(row.stages[name]) for name in STAGES), *told]


def _mebibytes(count: int | None) -> str:
    return NOTHING if count is None else f"{count / MIB:.0f}"


def _without_copies(row: Row) -> str:
    stages = sum(seconds for name, seconds in row.stages.items() if name != "transfers")
    return f"{row.name}, without copies between host and device: {_milliseconds(stages)} ms."


def _left_out(rows: Sequence[Row]) -> list[str]:
    return [f"Left out: {row.name} {row.left_out}." for row in rows if row.left_out]


def _floor(sized: Sized) -> str:
    return (
        f"Floor of this machine: {sized.floor_bytes * 1000:.1f} ms to move the bytes, "
        f"{sized.floor_operations * 1000:.0f} ms to do the operations."
    )


def end_to_end_text(figures: Figures) -> str:
    """Draw what the whole command takes, beside decoding and encoding alone."""
    headings = ("", "photos/s", "floor photos/s", "× floor", "first photo s", "whole run s", "mask")
    table = _table(f"{figures.photos} photos, {figures.megapixels:.1f} megapixels in all", headings)
    for way in figures.ways:
        table.add_row(
            way.name,
            f"{way.rate:.2f}",
            f"{way.floor_rate:.2f}",
            f"{way.floor_rate / way.rate:.1f}",
            f"{way.first:.2f}",
            f"{way.whole:.2f}",
            f"{way.mask_fraction:.0%}",
        )
    start = figures.start_up
    return _drawn(table) + (
        f"\nStart-up: --help {start.help:.3f} s, first photo alone {start.first_photo:.2f} s.\n"
    )


def _drawn(table: Table) -> str:
    text = StringIO()
    Console(file=text, width=WIDTH, color_system=None).print(table)
    return text.getvalue().rstrip("\n")
