"""Burt-Adelson pyramid of a photo too big to hold as float32, piece by piece.

Everything here equals the whole-image pyramid of the paper (kernel [1, 4, 6, 4, 1]/16, reflect-101
borders, even sizes) to rounding: pieces are cut with a margin that is thrown away. Coarse levels
are held whole, so many as take little; the finer ones are made of the photo's integers where they
are looked at, and let go. Images are (H, W, 3) float32 arrays; OpenCV is a hundred times as fast
here as a grouped convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..photo import Pixels
from .clock import stage
from .colour import ColourSpace, Image
from .crew import Crew

TILE_SIDE = 256  # px, even; 512 takes 1.4 times as long: its maps do not stay in the cache
PASS_SIDE = 512  # px of the photo that go through all levels at once; margins of less cost more
# Most that levels held whole may take, I_i and B_i: those from 1536 x 1024 on of 6144 x 4096.
HELD_BYTES = 96 * 2**20
BYTES_PER_PIXEL = 12  # of an image


class Tile(NamedTuple):
    """A rectangle of a level: rows top..bottom-1, columns left..right-1."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The tile as an index into an array of its level."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def area(self) -> int:
        """How many pixels it holds."""
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, margin: int, size: tuple[int, int]) -> Tile:
        """The tile with a margin on every side, clipped to a level of `size`."""
        return Tile(
            max(self.top - margin, 0),
            min(self.bottom + margin, size[0]),
            max(self.left - margin, 0),
            min(self.right + margin, size[1]),
        )

    def halved(self) -> Tile:
        """The same rectangle one level up; all four numbers must be even."""
        return Tile(self.top // 2, self.bottom // 2, self.left // 2, self.right // 2)

    def doubled(self) -> Tile:
        """The same rectangle one level down."""
        return Tile(2 * self.top, 2 * self.bottom, 2 * self.left, 2 * self.right)

    def tiles(self, side: int) -> Iterator[Tile]:
        """Cut it into squares of `side` px, smaller at the ends."""
        for top in range(self.top, self.bottom, side):
            for left in range(self.left, self.right, side):
                yield Tile(top, min(top + side, self.bottom), left, min(left + side, self.right))

    def evened(self) -> Tile:
        """The least tile on even numbers that holds this one."""
        return Tile(
            self.top - self.top % 2,
            self.bottom + self.bottom % 2,
            self.left - self.left % 2,
            self.right + self.right % 2,
        )

    def within(self, outer: Tile) -> tuple[slice, slice]:
        """The tile as an index into an array that holds `outer`."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )


class Piece(NamedTuple):
    """A rectangle of a level that is at hand: `image`, (h, w, 3), lies at `tile`.

    size: (height, width) of the whole level.
    """

    image: Image
    tile: Tile
    size: tuple[int, int]

    def cut(self, tile: Tile) -> Image:
        """A rectangle of the level, within this one."""
        return self.image[tile.within(self.tile)]


def whole(image: Image) -> Piece:
    """A level that is held whole."""
    size = (image.shape[0], image.shape[1])
    return Piece(image, Tile(0, size[0], 0, size[1]), size)


def hull(parts: Sequence[Tile]) -> Tile:
    """The least tile that holds all of these."""
    tops, bottoms, lefts, rights = zip(*parts, strict=True)
    return Tile(min(tops), max(bottoms), min(lefts), max(rights))


def tiles(size: tuple[int, int], side: int = TILE_SIDE) -> Iterator[Tile]:
    """Cut a level of `size` (height, width) into squares of `side` px, smaller at the ends."""
    return Tile(0, size[0], 0, size[1]).tiles(side)


def padded_length(length: int, multiple: int) -> int:
    """The next multiple at or above a length."""
    return -(-length // multiple) * multiple


def reflected(length: int, padded: int) -> NDArray[np.intp]:
    """Where each of `padded` positions lies in a line of `length` px: reflect-101, repeated [D15].

    5 px padded to 9: 0 1 2 3 4 3 2 1 0; one pixel repeats itself.
    """
    period = max(1, 2 * (length - 1))
    position = np.arange(padded) % period
    return np.minimum(position, (period - position) % period if length > 1 else 0)


def pad(image: Image, size: tuple[int, int]) -> Image:
    """Pad an image by reflection at the bottom and right to `size` (height, width)."""
    if image.shape[:2] == size:
        return image
    rows, columns = (reflected(image.shape[axis], size[axis]) for axis in (0, 1))
    return image[rows][:, columns]


@dataclass(frozen=True)
class Canvas:
    """I_0 of a photo: padded by reflection, as the network sees it, made where it is looked at.

    pixels: the photo's own (H, W, 3) integers; multiple: what the padded sides divide by, 2**l.
    """

    pixels: Pixels
    space: ColourSpace
    multiple: int

    @property
    def size(self) -> tuple[int, int]:
        """Padded (height, width)."""
        height, width = self.pixels.shape[:2]
        return padded_length(height, self.multiple), padded_length(width, self.multiple)

    def level_size(self, level: int) -> tuple[int, int]:
        """(Height, width) of I_i, i = `level`."""
        return self.size[0] >> level, self.size[1] >> level

    def image(self, tile: Tile) -> Image:
        """A rectangle of I_0, (h, w, 3) float32."""
        return self.space.to_network(self._integers(tile))

    def reaches(self, tile: Tile, level: int) -> list[Tile]:
        """What of I_0..I_i, i = `level`, a tile of I_i is made of, itself the last."""
        # A pixel of I_i takes rows 2r-2..2r+2 of I_{i-1}: one pixel of I_i more on every side.
        reaches = [tile]
        for each in range(level, 0, -1):
            reaches.insert(0, reaches[0].grown(1, self.level_size(each)).doubled())
        return reaches

    def pieces(self, tile: Tile, level: int) -> list[Piece]:
        """I_0..I_i, i = `level`: of I_i the tile, of the others what the next is made of."""
        reaches = self.reaches(tile, level)
        pieces = [Piece(self.image(reaches[0]), reaches[0], self.size)]
        for each, wanted in enumerate(reaches[1:], 1):
            size = self.level_size(each)
            halved = Piece(down(pieces[-1].image), wanted.grown(1, size), size)
            pieces.append(Piece(halved.cut(wanted), wanted, size))
        return pieces

    def _integers(self, tile: Tile) -> Pixels:
        height, width = self.pixels.shape[:2]
        if tile.bottom <= height and tile.right <= width:
            return self.pixels[tile.window]
        rows = reflected(height, self.size[0])[tile.top : tile.bottom]
        columns = reflected(width, self.size[1])[tile.left : tile.right]
        return self.pixels[rows[:, None], columns]


def first_held(size: tuple[int, int], levels: int) -> int:
    """The finest level that is held whole, 1..levels, of a padded photo of `size`."""
    return next((i for i in range(1, levels) if held_bytes(size, i) <= HELD_BYTES), levels)


def held_bytes(size: tuple[int, int], first: int) -> int:
    """At most what images and blend layers of all levels from `first` on take: a third more."""
    pixels = (size[0] >> first) * (size[1] >> first)
    return 2 * BYTES_PER_PIXEL * pixels * 4 // 3


def held_levels(canvas: Canvas, levels: int, crew: Crew) -> list[Image]:
    """I_k..I_l, l = `levels`, whole: those that are held."""
    first = first_held(canvas.size, levels)
    images = [whole_level(canvas, first, crew)]
    while len(images) <= levels - first:
        images.append(down(images[-1]))
    return images


def whole_level(canvas: Canvas, level: int, crew: Crew) -> Image:
    """I_i, i = `level`, whole."""
    held = np.empty((*canvas.level_size(level), 3), np.float32)

    def make(tile: Tile) -> None:
        with stage("thumbnail"):
            held[tile.window] = canvas.pieces(tile, level)[-1].image

    crew.each(make, tiles(canvas.level_size(level), max(2, PASS_SIDE >> level)))
    return held


def doubled(coarse: Piece, tile: Tile, enlarge: Callable[[Image], Image]) -> Image:
    """A tile of a level enlarged, without enlarging the rest.

    coarse:  holds a pixel more than the tile's half on every side, where the level goes so far;
    tile:    of the level below it (twice the size), on even numbers.
    enlarge: `up` or `upsample`: doubles an image, reaching one pixel far.
    """
    reach = tile.halved().grown(1, coarse.size)
    return enlarge(coarse.cut(reach))[tile.within(reach.doubled())]


def down(image: Image) -> Image:
    """Halve an image of the pyramid: filter, keep even rows and columns (spec 3.1)."""
    return np.asarray(cv2.pyrDown(image), np.float32)


def up(image: Image) -> Image:
    """Double an image of the pyramid: insert zeros, filter with 4·w⊗w (spec 3.1)."""
    return np.asarray(cv2.pyrUp(image), np.float32)


def upsample(layer: Image) -> Image:
    """Double a blend layer: bilinear, half-pixel centres, replicated edges [D13]."""
    size = (2 * layer.shape[1], 2 * layer.shape[0])
    return np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR), np.float32)
