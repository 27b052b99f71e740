"""In what pieces a photo is finished, and when its own pixels may be written over.

A block is made of the photo's integers there and in a margin around it. So it is written when all
blocks whose margins look into it have been read: a row of them later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..photo import Pixels
from .pyramid import TILE_SIDE, Tile, tiles

BLOCK_SIDE = 512  # px; the margins of smaller ones cost more, larger ones leave the cache
CHANNELS = 3


class Sides(NamedTuple):
    """Into what the photo is cut, px, even: blocks, and these into tiles."""

    block: int
    tile: int


def sides_for(first: int) -> Sides:
    """How a photo is cut whose finest level held whole is k = `first`.

    Where that is I_1 there is nothing that the tiles of a block would share.
    """
    return Sides(TILE_SIDE if first == 1 else BLOCK_SIDE, TILE_SIDE)


def margin(first: int) -> int:
    """How far around it, px, a block is read; the finest level held is k = `first`.

    B_{i+1} and I_{i+1} are looked at half as far as I_i and 1 px more, that to even numbers, and 2
    px more to refine B_{i+1}: under 8 px of every level. I_{i+1} takes twice as much of I_i and 2
    px: under 8, 18, 38, 78 px of I_0 for k = 1, 2, 3, 4. As far at most, the photo is reflected.
    """
    return 5 << first


class Blocks:
    """The blocks of a photo of `size` (height, width), in rows along its shorter side."""

    def __init__(self, size: tuple[int, int], side: int, margin: int) -> None:
        """Cut the photo into squares of `side` px, each read with `margin` px around it."""
        height, width = size
        if height < width:
            turned = tiles((width, height), side)
            self.tiles = [Tile(each.left, each.right, each.top, each.bottom) for each in turned]
        else:
            self.tiles = list(tiles(size, side))
        row, around = (-(-length // side) for length in (min(size), margin))
        self.lag = around * (row + 1)  # from a block to the last one that looks into it
        self._side = side

    def waiting_bytes(self, itemsize: int, ahead: int) -> int:
        """At most what integers of `itemsize` bytes take that wait to be written.

        ahead: blocks that are made while the writer takes one.
        """
        count = min(self.lag + 1 + ahead, len(self.tiles))
        return count * self._side**2 * CHANNELS * itemsize


class Part(NamedTuple):
    """New integers, (h, w, 3), of a tile."""

    tile: Tile
    pixels: Pixels


class LateWriter:
    """Writes blocks over the pixels that they are made of, none before it is safe."""

    def __init__(self, pixels: Pixels, lag: int) -> None:
        """Write over (H, W, 3) `pixels`; lag: that of the photo's `Blocks`."""
        self._pixels = pixels
        self._lag = lag
        self._waiting: deque[tuple[int, Sequence[Part]]] = deque()

    def put(self, index: int, parts: Sequence[Part]) -> None:
        """Take a block; it and all before it have been read, those between that stay as they are.

        index: its number among the photo's blocks, higher from call to call.
        """
        self._waiting.append((index, parts))
        self._write_to(index - self._lag)

    def finish(self) -> None:
        """Write what waits: all blocks have been read."""
        self._write_to(self._waiting[-1][0] if self._waiting else 0)

    def _write_to(self, last: int) -> None:
        while self._waiting and self._waiting[0][0] <= last:
            for tile, part in self._waiting.popleft()[1]:
                self._pixels[tile.window] = part
