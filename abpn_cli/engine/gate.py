"""The gate that makes "untouched" exact, and what the user's masks and strength make of it.

A sigmoid mask M is never 0, so M alone would change every pixel a little. The gate
g = smoothstep(lo, hi, M) is 0 outside the target; the blend layer is multiplied by
strength · only · (1 - protect) · g. All in float32, tile by tile, equal to the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .pyramid import Tile, tiles

Plane = NDArray[np.float32]  # (H, W)

MASK_STEPS = 65535  # user's masks are resized as 16-bit integers, so that 0 and 1 stay exact


def smoothstep(low: float, high: float, mask: Plane) -> Plane:
    """0 up to `low`, 1 from `high` on, 3t² - 2t³ in between; low < high."""
    t = ((mask - np.float32(low)) / np.float32(high - low)).clip(0, 1)
    eased: Plane = t * t * (3 - 2 * t)
    return eased


@dataclass(frozen=True)
class Gate:
    """g on M's grid, and at full size where it is looked at.

    grid: (ceil(h/4), ceil(w/4)) of the thumbnail, in [0, 1], stored orientation.
    cell: photo pixels to one cell of the grid: 4·2**l.
    size: the photo's (height, width).
    """

    grid: Plane
    cell: int
    size: tuple[int, int]

    def at(self, tile: Tile) -> Plane:
        """The gate of a rectangle of the photo: bilinear, half-pixel centres, edges replicated."""
        above, below, row_share = self._neighbours(tile.top, tile.bottom, self.grid.shape[0])
        left, right, column_share = self._neighbours(tile.left, tile.right, self.grid.shape[1])
        first = int(above[0])
        band = self.grid[first : int(below[-1]) + 1]
        near = band[:, int(left[0]) : int(right[-1]) + 1]
        for whole in (0, 1):  # most tiles; shares are so many halves, of which 1 is made exactly
            if (near == whole).all():
                return np.full((len(row_share), len(column_share)), whole, np.float32)
        wide = _mix(band[:, left], band[:, right], column_share)
        return _mix(wide[above - first], wide[below - first], row_share[:, None])

    def whole(self) -> Plane:
        """The gate of the whole photo, (H, W)."""
        gate = np.empty(self.size, np.float32)
        for tile in tiles(self.size):
            gate[tile.window] = self.at(tile)
        return gate

    def opened(self) -> NDArray[np.bool_]:
        """Where the gate is above 0, (H, W)."""
        opened = np.empty(self.size, np.bool_)
        for tile in tiles(self.size):
            opened[tile.window] = self.at(tile) > 0
        return opened

    def _neighbours(
        self, start: int, stop: int, count: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], Plane]:
        """Cells on either side of pixels start..stop-1, and the share of the second one."""
        # In integers, so that a tile gets the very numbers that the whole photo would.
        doubled = 2 * np.arange(start, stop) + 1 - self.cell
        before = doubled // (2 * self.cell)
        share = ((doubled - before * 2 * self.cell) / (2 * self.cell)).astype(np.float32)
        return before.clip(0, count - 1), (before + 1).clip(0, count - 1), share

    def open_cells(self) -> NDArray[np.bool_]:
        """Cells in which any pixel may have a gate above 0: those at or beside g > 0."""
        opened = (self.grid > 0).astype(np.uint8)
        return cv2.dilate(opened, np.ones((3, 3), np.uint8)).astype(bool)


def _mix(one: Plane, other: Plane, share: Plane) -> Plane:
    """one·(1 - share) + other·share: 0 exactly where both are 0."""
    mixed: Plane = one * (1 - share)
    mixed += other * share
    return mixed


@dataclass(frozen=True)
class Reach:
    """How much of the blend layer lands where: strength · only · (1 - protect) · g.

    only, protect: (H, W) of the photo in [0, 1], or None for "everywhere" and "nowhere".
    """

    gate: Gate
    strength: float = 1.0
    only: Plane | None = None
    protect: Plane | None = None

    def at(self, tile: Tile, gate: Plane) -> Plane:
        """The factor of a rectangle of the photo; `gate` is its `self.gate.at(tile)`."""
        factor = gate * np.float32(self.strength)
        if self.only is not None:
            factor *= self.only[tile.window]
        if self.protect is not None:
            factor *= 1 - self.protect[tile.window]
        return factor

    def cells(self) -> NDArray[np.bool_]:
        """Cells of M's grid in which any pixel may change."""
        cells = self.gate.open_cells()
        if self.strength == 0:
            return np.zeros_like(cells)
        if self.only is not None:
            cells &= self._any_in_cell(self.only > 0)
        if self.protect is not None:
            cells &= self._any_in_cell(self.protect < 1)
        return cells

    def _any_in_cell(self, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows, columns = (np.arange(0, n, self.gate.cell) for n in pixels.shape)
        by_row = np.logical_or.reduceat(pixels, rows, axis=0)
        cells: NDArray[np.bool_] = np.logical_or.reduceat(by_row, columns, axis=1)
        return cells


def touches(cells: NDArray[np.bool_], cell: int, tile: Tile, margin: int) -> bool:
    """Whether a tile, or a pixel within `margin` cells of it, lies in a cell that is True.

    cells: M's grid; cell: pixels of the tile's own level to one cell.
    """
    rows = slice(max(tile.top // cell - margin, 0), -(-tile.bottom // cell) + margin)
    columns = slice(max(tile.left // cell - margin, 0), -(-tile.right // cell) + margin)
    return bool(cells[rows, columns].any())


def fit_mask(mask: Plane, size: tuple[int, int]) -> Plane:
    """Resize a user's mask to the photo's (height, width); black and white areas stay exact."""
    steps = np.rint(mask * np.float32(MASK_STEPS)).astype(np.uint16)
    shrinks = mask.shape[0] * mask.shape[1] > size[0] * size[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(steps, (size[1], size[0]), interpolation=way), np.float32)
    return resized / np.float32(MASK_STEPS)
