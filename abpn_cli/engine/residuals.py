"""Detail brought into a hole from where it lies: contextual residual aggregation, HiFill 3.1-3.2.

A picture is filled small. What its enlargement lacks is taken from the large one, cell by cell: by
the network's attention as shares of all cells, or, for a filling made of copies, from the place
that it resembles most.

Pictures are (h, w, 3) float32 of any scale; `ratio` is pixels of the large one to one of the small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour import Image
from .gate import Plane
from .pyramid import Tile

Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

PATCH = 16  # px of the small picture that are looked for elsewhere at once
STEP = PATCH // 2  # from one to the next: each pixel lies in four
SEEN = 8  # px around them that are compared with them
COARSE = 4  # how much smaller the copy is in which they are looked for first


def block_means(picture: Image, ratio: int) -> Image:
    """Shrink (h, w, 3), h and w multiples of ratio, to the means of its blocks."""
    height, width = picture.shape[:2]
    size = (width // ratio, height // ratio)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def enlarged(small: Image, ratio: int, tile: Tile | None = None) -> Image:
    """Enlarge by bilinear interpolation, half-pixel centres; all of it, or a rectangle of it.

    tile: in pixels of the large picture; it gets the numbers that the whole would.
    """
    height, width = small.shape[:2]
    whole = Tile(0, height * ratio, 0, width * ratio)
    tile = tile or whole
    near = Tile(
        max(0, tile.top // ratio - 1),
        min(height, -(-tile.bottom // ratio) + 1),
        max(0, tile.left // ratio - 1),
        min(width, -(-tile.right // ratio) + 1),
    )
    part = np.ascontiguousarray(small[near.window])
    size = (part.shape[1] * ratio, part.shape[0] * ratio)
    large = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.float32)
    origin = Tile(near.top * ratio, near.bottom * ratio, near.left * ratio, near.right * ratio)
    return large[tile.within(origin)]


def detail(large: Image, small: Image, ratio: int, hole: Bools, tile: Tile) -> Image:
    """What a rectangle of the large picture has beyond its small copy: 0 in the hole.

    large: (h, w, 3) of the tile alone; hole: (h, w) of it; small: the whole small picture.
    """
    beyond: Image = large - enlarged(small, ratio, tile)
    beyond[hole] = 0
    return beyond


class Grid(NamedTuple):
    """Cells of a square picture: so many rows and columns, each of so many pixels."""

    side: int
    cell: int

    def cells_of(self, hole: Bools) -> Indices:
        """Which cells a hole touches, row by row; hole: (side·cell, side·cell)."""
        touched = hole.reshape(self.side, self.cell, self.side, self.cell).any((1, 3))
        return np.flatnonzero(touched)

    def band(self, row: int) -> Tile:
        """The pixels of one row of cells."""
        return Tile(row * self.cell, (row + 1) * self.cell, 0, self.side * self.cell)


def aggregated(
    bands: Iterator[Image], attention: Plane, wanted: Indices, grid: Grid
) -> Iterator[tuple[int, Image]]:
    """Build the detail of the cells that are wanted: new_j = Σ_i A_ji·detail_i, HiFill eq. (3).

    bands:     detail of each row of cells in turn, (cell, side·cell, 3); one is held at a time.
    attention: (side², side²), query by key, row by row of the grid.
    Yields (cell, (cell, cell, 3)).
    """
    made = np.zeros((len(wanted), grid.cell * grid.cell * 3), np.float32)
    shares = attention[wanted]
    for row, band in enumerate(bands):
        tiles = band.reshape(grid.cell, grid.side, grid.cell, 3).swapaxes(0, 1)
        keys = slice(row * grid.side, (row + 1) * grid.side)
        made += shares[:, keys] @ tiles.reshape(grid.side, -1)
    for cell, flat in zip(wanted, made, strict=True):
        yield int(cell), flat.reshape(grid.cell, grid.cell, 3)


class Match(NamedTuple):
    """A patch of the filled picture, and the corner of what resembles it most in the known part."""

    tile: Tile
    top: int
    left: int


def matches(filled: Image, hole: Bools) -> list[Match]:
    """Find, for patches that cover the hole, where the known part of the picture is most alike.

    Looked for in a copy of a quarter of the size, then settled around that place to the pixel.

    filled: (h, w, 3) float32, the small picture, filled; hole: (h, w) of it.
    Returns patches of PATCH px and less at the rim, every STEP px; none where nothing is known.
    """
    height, width = (length - length % COARSE for length in hole.shape)
    size = (height, width)
    blocks = hole[:height, :width].reshape(height // COARSE, COARSE, width // COARSE, COARSE)
    coarse = _Field(block_means(filled[:height, :width], COARSE), np.asarray(blocks.any((1, 3))))
    fine = _Field(filled, hole)
    found: list[Match] = []
    for tile in _patches(hole):
        seen = Tile(*(length - length % COARSE for length in tile.grown(SEEN, size)))
        near = coarse.place_like(Tile(*(length // COARSE for length in seen)))
        if near is None:
            continue
        top, left = (COARSE * at for at in near)
        around = Tile(top, top + seen.bottom - seen.top, left, left + seen.right - seen.left)
        place = fine.place_like(seen, around.grown(COARSE, size)) or (top, left)
        found.append(Match(tile, place[0] + tile.top - seen.top, place[1] + tile.left - seen.left))
    return [match for match in found if _lies_in(match, hole.shape)]


class _Field:
    """A picture (h, w, 3) and its hole (h, w), in which a patch is looked for."""

    def __init__(self, picture: Image, hole: Bools) -> None:
        self._picture = np.ascontiguousarray(picture)
        # sums over all rectangles from the corner, to tell at once whether one is free of the hole
        self._sums = cv2.integral(hole.astype(np.uint8))

    def place_like(self, patch: Tile, within: Tile | None = None) -> tuple[int, int] | None:
        """Return the corner of what is most like a patch, free of the hole; None for no place."""
        height, width = self._picture.shape[:2]
        within = within or Tile(0, height, 0, width)
        rows, columns = patch.bottom - patch.top, patch.right - patch.left
        template = np.ascontiguousarray(self._picture[patch.window])
        region = np.ascontiguousarray(self._picture[within.window])
        unlike = np.asarray(cv2.matchTemplate(region, template, cv2.TM_SQDIFF), np.float32)
        sums = self._sums[within.top : within.bottom + 1, within.left : within.right + 1]
        in_hole = (
            sums[rows:, columns:] - sums[:-rows, columns:]
            - sums[rows:, :-columns] + sums[:-rows, :-columns]
        )  # fmt: skip
        unlike[in_hole > 0] = np.inf
        top, left = divmod(int(unlike.argmin()), unlike.shape[1])
        if not np.isfinite(unlike[top, left]):
            return None
        return within.top + top, within.left + left


def _lies_in(match: Match, size: tuple[int, ...]) -> bool:
    """Whether what resembles a patch lies in the picture whole."""
    tile = match.tile
    bottom = match.top + tile.bottom - tile.top
    right = match.left + tile.right - tile.left
    return min(match.top, match.left) >= 0 and bottom <= size[0] and right <= size[1]


def _patches(hole: Bools) -> Iterator[Tile]:
    """Patches that overlap by half, over every pixel of the hole and no others."""
    height, width = hole.shape
    for top in range(-STEP, height, STEP):
        for left in range(-STEP, width, STEP):
            tile = Tile(
                max(0, top), min(height, top + PATCH), max(0, left), min(width, left + PATCH)
            )
            if hole[tile.window].any():
                yield tile


def bell(tile: Tile, ratio: int) -> Plane:
    """Weights of a patch over its pixels, large scale, (h, w): above 0, least at its rim."""
    rows, columns = (
        np.sin((np.arange(length * ratio) + 0.5) * np.pi / (length * ratio)) ** 2
        for length in (tile.bottom - tile.top, tile.right - tile.left)
    )
    return np.asarray(rows[:, None] * columns, np.float32)
