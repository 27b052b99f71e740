"""A dot chart as SVG: one line of dots for each method, a bar at their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from statistics import fmean
from typing import NamedTuple

LEFT, WIDTH, RIGHT = 190, 460, 40  # px: names, panel, margin
HEAD, LINE, FOOT = 30, 24, 34  # px of height: title, one method, axis
MOST_TICKS = 8
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600}.a{fill:#666;font-size:11px}"
)


class Panel(NamedTuple):
    """One chart: its title, the unit of its axis, and the values of each method."""

    title: str
    unit: str
    values: Mapping[str, Sequence[float]]


def dot_chart(panels: Sequence[Panel]) -> str:
    """Draw panels one below the other; values that are not finite are left out."""
    parts, top = [], 0
    for panel in panels:
        drawn, height = _panel(panel, top)
        parts.append(drawn)
        top += height
    width = LEFT + WIDTH + RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" '
        f'height="{top}" role="img"><style>{STYLE}</style>'
        f'<rect width="{width}" height="{top}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, low < high, MOST_TICKS steps."""
    rough = (high - low) / MOST_TICKS
    power: float = 10.0 ** floor(log10(rough))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= rough)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _panel(panel: Panel, top: int) -> tuple[str, int]:
    """Draw one panel from `top` down; return it and its height."""
    finite = {name: [v for v in values if isfinite(v)] for name, values in panel.values.items()}
    every = [value for values in finite.values() for value in values]
    low, high = min([0.0, *every]), max([0.0, *every])
    axis = ticks(low, high if high > low else low + 1)
    bottom = top + HEAD + LINE * len(finite)

    def at(value: float) -> float:
        return round(LEFT + WIDTH * (value - axis[0]) / (axis[-1] - axis[0]), 1)

    parts = [f'<text class="t" x="8" y="{top + 20}">{escape(panel.title)}</text>']
    for tick in axis:
        colour = "#888" if tick == 0 else "#e4e4e4"
        x = at(tick)
        parts.append(
            f'<path d="M{x} {top + HEAD}V{bottom}" stroke="{colour}"/>'
            f'<text class="a" x="{x}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(
        f'<text class="a" x="{LEFT + WIDTH + 6}" y="{bottom + 14}">{escape(panel.unit)}</text>'
    )
    for index, (name, values) in enumerate(finite.items()):
        middle = top + HEAD + LINE * index + LINE // 2
        parts.append(
            f'<text x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>'
        )
        parts += [
            f'<circle cx="{at(v)}" cy="{middle}" r="3.5" fill="#2b6cb0" fill-opacity=".45"/>'
            for v in values
        ]
        if values:
            x = at(fmean(values))
            parts.append(
                f'<path d="M{x} {middle - 9}V{middle + 9}" stroke="#c2410c" stroke-width="2.5">'
                f"<title>{escape(name)}: mean {fmean(values):.2f}</title></path>"
            )
    return "".join(parts), bottom + FOOT - top
