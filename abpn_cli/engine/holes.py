"""Where something is to go, and the windows in which that is done.

A hole is looked at in a window around it, so that a small one is seen at full size however large
the photo: three times its box, 512 px at least. A mask's grey is decided at half, its outline
grown a little, lest a rim of the thing stay, and feathered where it is pasted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .gate import Plane, smoothstep
from .pyramid import Tile

Bools = NDArray[np.bool_]

AROUND = 3  # side of a window by that of its hole
LEAST_SIDE = 512  # px of a window
GROWN_SHARE = 0.004  # of a window's longer side: what a hole's outline is grown by
GROWN_MOST = 8  # px of it: a line of specks may be in one box, which is wide, and they are not
MERGED_MOST = 1024**2  # px of a window for several holes: filled at full size, within seconds
MOST_SHARE = 0.25  # of a window that a hole may be
BLOCK = 16  # px: holes that are as near count as one


class Window(NamedTuple):
    """A rectangle of the photo, and the box of the holes in it that are filled here.

    tile may reach beyond the photo where its shape is to be a square; grown: px that the outlines
    of its holes are grown by.
    """

    tile: Tile
    box: Tile
    grown: int


class Paste(NamedTuple):
    """How a filling is laid over the photo: alpha, (h, w) float32 in [0, 1], at `tile`."""

    tile: Tile
    alpha: Plane


def boxes(hole: Bools) -> list[Tile]:
    """Return the boxes around the holes of (H, W), those near each other in one."""
    height, width = hole.shape
    rows, columns = (np.arange(0, length, BLOCK) for length in (height, width))
    blocks = np.logical_or.reduceat(np.logical_or.reduceat(hole, rows, 0), columns, 1)
    near = cv2.dilate(blocks.view(np.uint8), np.ones((3, 3), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    found = []
    for left, top, wide, high, _ in stats[1:]:
        rough = Tile(
            int(top) * BLOCK, min(height, int(top + high) * BLOCK),
            int(left) * BLOCK, min(width, int(left + wide) * BLOCK),
        )  # fmt: skip
        found.append(_shrunk(hole, rough))
    return sorted(set(found))


def _shrunk(hole: Bools, rough: Tile) -> Tile:
    """The least box that holds all of a hole that a rough one does."""
    part = hole[rough.window]
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    return Tile(
        rough.top + int(rows[0]), rough.top + int(rows[-1]) + 1,
        rough.left + int(columns[0]), rough.left + int(columns[-1]) + 1,
    )  # fmt: skip


def windows(
    found: Sequence[Tile], size: tuple[int, int], square: bool, full: bool = False
) -> list[Window]:
    """Lay a window around each box; those that overlap become one, where none loses detail by it.

    square: whether they must be squares, of a multiple of LEAST_SIDE; full: one of the whole photo.
    """
    if full and found:
        tile = _full(size, square)
        return [Window(tile, _around(found), grown_by(tile))]
    left = sorted({_window(box, size, square) for box in found})
    made = []
    while left:
        one, at = left.pop(0), 0
        while at < len(left):
            both = _merged(one, left[at], size, square)
            if both is None:
                at += 1
            else:
                one, at = both, 0
                left = [each for each in left if _around([each.box, one.box]) != one.box]
        made.append(one)
    return sorted(made)


def _merged(one: Window, other: Window, size: tuple[int, int], square: bool) -> Window | None:
    """Make one of two windows that overlap; None where they lose detail by it, or gain no time."""
    if not _overlap(one.tile, other.tile):
        return None
    box, grown = _around([one.box, other.box]), max(one.grown, other.grown)
    if square:
        tile = _window(box, size, square).tile
        most = one.tile.area + other.tile.area
    else:
        tile = _around([one.tile, other.tile])
        most = max(one.tile.area, other.tile.area)  # one lies in the other, or both are small
        most = max(most, min(MERGED_MOST, one.tile.area + other.tile.area))
    return Window(tile, box, grown) if tile.area <= most else None


def _window(box: Tile, size: tuple[int, int], square: bool) -> Window:
    high, wide = (max(LEAST_SIDE, AROUND * length) for length in _sides(box))
    if square:
        most = -(-max(size) // LEAST_SIDE)  # no more than the photo needs
        times = min(most, -(-max(high, wide) // LEAST_SIDE))
        high = wide = times * LEAST_SIDE
    else:
        high, wide = min(high, size[0]), min(wide, size[1])
    top, bottom = _span(box.top, box.bottom, high, size[0])
    left, right = _span(box.left, box.right, wide, size[1])
    tile = Tile(top, bottom, left, right)
    return Window(tile, box, grown_by(tile))


def _full(size: tuple[int, int], square: bool) -> Tile:
    if not square:
        return Tile(0, size[0], 0, size[1])
    side = -(-max(size) // LEAST_SIDE) * LEAST_SIDE
    return Tile(0, side, 0, side)


def _span(start: int, stop: int, length: int, whole: int) -> tuple[int, int]:
    """Centre so many pixels on start..stop, within the photo as far as they fit into it."""
    first = (start + stop - length) // 2
    first = max(0, min(first, whole - length))
    return first, first + length


def _sides(box: Tile) -> tuple[int, int]:
    return box.bottom - box.top, box.right - box.left


def _around(found: Sequence[Tile]) -> Tile:
    tops, bottoms, lefts, rights = zip(*found, strict=True)
    return Tile(min(tops), max(bottoms), min(lefts), max(rights))


def _overlap(one: Tile, other: Tile) -> bool:
    high = min(one.bottom, other.bottom) > max(one.top, other.top)
    return high and min(one.right, other.right) > max(one.left, other.left)


def grown_by(tile: Tile) -> int:
    """How many pixels a hole's outline is grown by that a window was laid around."""
    return min(GROWN_MOST, max(1, round(GROWN_SHARE * max(_sides(tile)))))


def paste(hole: Bools, window: Window, feather: int) -> Paste:
    """Say how much of a filling shows where: all on the grown hole, falling off around it.

    hole: (H, W) of the photo; feather: px over which it falls.
    """
    grown = window.grown
    size = (hole.shape[0], hole.shape[1])
    tile = window.box.grown(grown + feather + 1, size)
    own = np.zeros((tile.bottom - tile.top, tile.right - tile.left), np.uint8)
    own[window.box.within(tile)] = hole[window.box.window]
    far = np.asarray(cv2.distanceTransform(1 - own, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)
    if feather == 0:
        return Paste(tile, (far <= grown).astype(np.float32))
    return Paste(tile, 1 - smoothstep(float(grown), float(grown + feather + 1), far))
