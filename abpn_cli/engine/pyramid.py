"""Burt-Adelson pyramid of a photo too big to hold as float32, and its levels tile by tile.

Everything here equals the whole-image pyramid of the paper (kernel [1, 4, 6, 4, 1]/16, reflect-101
borders, even sizes) to rounding: pieces are cut with a margin that is thrown away. Images are
(H, W, 3) or (H, W) float32 arrays; OpenCV is a hundred times as fast here as a grouped convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    def within(self, outer: Tile) -> tuple[slice, slice]:
        """The tile as an index into an array that holds `outer`."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )


def tiles(size: tuple[int, int], side: int = TILE_SIDE) -> Iterator[Tile]:
    """Cut a level of `size` (height, width) into squares of `side` px, smaller at the ends."""
    height, width = size
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Tile(top, min(top + side, height), left, min(left + side, width))


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

    def image(self, tile: Tile) -> Image:
        """A rectangle of I_0, (h, w, 3) float32."""
        return self.space.to_network(self._integers(tile))

    def _integers(self, tile: Tile) -> Pixels:
        height, width = self.pixels.shape[:2]
        if tile.bottom <= height and tile.right <= width:
            return self.pixels[tile.window]
        rows = reflected(height, self.size[0])[tile.top : tile.bottom]
        columns = reflected(width, self.size[1])[tile.left : tile.right]
        return self.pixels[rows[:, None], columns]


def first_level(canvas: Canvas, crew: Crew) -> Image:
    """I_1 = down(I_0), from pieces of I_0."""
    height, width = canvas.size
    half = np.empty((height // 2, width // 2, 3), np.float32)

    def make(tile: Tile) -> None:
        # A pixel of I_1 takes rows 2r-2..2r+2 of I_0: one pixel of I_1 more on every side.
        reach = tile.grown(1, half.shape[:2])
        with stage("thumbnail"):
            halved = down(canvas.image(reach.doubled()))
            half[tile.window] = halved[tile.within(reach)]

    crew.each(make, tiles(half.shape[:2], TILE_SIDE // 2))
    return half


def coarse_levels(first: Image, levels: int) -> list[Image]:
    """I_1..I_l from I_1, whole; its sides divide by 2**(levels - 1)."""
    images = [first]
    for _ in range(levels - 1):
        images.append(down(images[-1]))
    return images


def doubled(coarse: Image, tile: Tile, enlarge: Callable[[Image], Image]) -> Image:
    """A tile of enlarge(coarse), without enlarging the rest.

    coarse:  a whole level; tile: of the level below it (twice the size), on even numbers.
    enlarge: `up` or `upsample`: doubles an image, reaching one pixel far.
    """
    wanted = tile.halved()
    reach = wanted.grown(1, (coarse.shape[0], coarse.shape[1]))
    return enlarge(coarse[reach.window])[tile.within(reach.doubled())]


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
