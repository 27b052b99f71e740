"""Which rows go to the device together, and which tiles of them can change. No tensors here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...photo import Pixels
from ..gate import Gate
from ..pyramid import reflected
from .steps import Corners

ALIGNED = 4  # px: strips begin where rows of level 2 do
# Rows that a strip wants of its levels on either side: B_0 takes 2 rows more of B_1, and these,
# refined of rows with a halo of 2, 4 of I_1, which take 10 of I_0.
MARGINS = (10, 4)
LAYER_MARGIN = 2


class Rows(NamedTuple):
    """Rows first..last-1 of a level."""

    first: int
    last: int

    @property
    def many(self) -> int:
        """How many they are."""
        return self.last - self.first

    def at(self, level: int) -> Rows:
        """The same rows so many levels up; both numbers must divide."""
        return Rows(self.first >> level, self.last >> level)

    def grown(self, margin: int, height: int) -> Rows:
        """With a margin, clipped to the level's height."""
        return Rows(max(self.first - margin, 0), min(self.last + margin, height))


def cut(rows: Rows, width: int, pixels: int, aligned: int) -> Iterator[Rows]:
    """Cut rows into parts of about so many pixels, that begin on multiples of `aligned`."""
    step = max(pixels // width // aligned, 1) * aligned
    for first in range(rows.first, rows.last, step):
        yield Rows(first, min(first + step, rows.last))


def fill_padded(pixels: Pixels, rows: Rows, size: tuple[int, int], into: Pixels) -> None:
    """Write rows of a photo padded by reflection to `size` into an array of their shape [D15]."""
    height, width = pixels.shape[:2]
    inside = min(rows.last, height)
    into = into.view(pixels.dtype)
    if rows.first < inside:
        into[: inside - rows.first, :width] = pixels[rows.first : inside]
    if rows.last > inside:
        below = reflected(height, size[0])[max(rows.first, inside) : rows.last]
        into[max(inside - rows.first, 0) :, :width] = pixels[below]
    if size[1] > width:
        into[:, width:] = into[:, reflected(width, size[1])[width:]]


def open_tiles(
    cells: NDArray[np.bool_],
    cell: int,
    rows: Rows,
    width: int,
    tile: tuple[int, int],
    margin: int,
) -> Corners:
    """Corners of the tiles in rows of a level that lie in, or within `margin` cells of, open ones.

    cells: M's grid; cell: px of that level to one cell; tile: (height, width).
    """
    tops = np.arange(rows.first, rows.last, tile[0])
    lefts = np.arange(0, width, tile[1])
    counted = np.pad(cells.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    ends = (np.minimum(tops + tile[0], rows.last), np.minimum(lefts + tile[1], width))
    before, after = [], []
    for start, end, count in zip((tops, lefts), ends, cells.shape, strict=True):
        before.append((start // cell - margin).clip(0, count))
        after.append((-(-end // cell) + margin).clip(0, count))
    found = (
        counted[np.ix_(after[0], after[1])]
        - counted[np.ix_(before[0], after[1])]
        - counted[np.ix_(after[0], before[1])]
        + counted[np.ix_(before[0], before[1])]
    )
    down, right = np.nonzero(found)
    return np.stack([tops[down], lefts[right]], 1).astype(np.int32)


def open_share(gate: Gate) -> float:
    """Share of a photo's pixels whose gate is above 0: those beside an open cell's centre."""
    counts = []
    for length, cells in zip(gate.size, gate.grid.shape, strict=True):
        before = (2 * np.arange(length) + 1 - gate.cell) // (2 * gate.cell)
        counts.append(np.bincount(before + 1, minlength=cells + 1))
    opened = np.pad(gate.grid > 0, 1, mode="edge")
    beside = opened[:-1, :-1] | opened[1:, :-1] | opened[:-1, 1:] | opened[1:, 1:]
    return int(counts[0] @ beside @ counts[1]) / (gate.size[0] * gate.size[1])
