"""From the edit at thumbnail size to the photo: refine the blend layer, blend, block by block.

Levels that are held are whole arrays, made in tiles so that the refining module's 16 channels never
exist for more than one. Finer levels exist for a block of the photo at a time, with what its pixels
need around it; level 0 is refined and blended tile by tile. Tiles that nothing can change are not
computed. A tile's halo is clipped at the padded photo's border, so that the convolutions' zero
padding falls where it would fall on the whole: the outcome is that of the whole photo.

The result may land in the photo's own pixels: a block is written when all whose margins look into
it have been read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError
from ..photo import Pixels
from .blocks import Blocks, LateWriter, Part, Sides, margin, sides_for
from .clock import stage
from .colour import Image
from .crew import Crew
from .gate import Plane, Reach, touches
from .network import Network
from .pyramid import (
    Canvas,
    Piece,
    Tile,
    doubled,
    hull,
    tiles,
    up,
    upsample,
    whole,
)

HALO = 2  # px: two 3x3 convolutions of the refining module reach so far
NO_CHANGE = (0, 0, 0)
CONE_CELLS = 1  # what a full-size pixel needs of a coarse level lies within 4 px there: one cell


class Sketch(NamedTuple):
    """The edit at thumbnail size, and all that is needed to bring it to full size.

    source: for the words of errors; canvas: I_0; levels: number of halvings l;
    held:   I_k..I_l, whole; I_1..I_{k-1} are made of I_0 where they are needed;
    layer:  B_l; reach: how much of the layer lands where; ghosts: share of the thumbnail on which
    the layer was taken back along outlines.
    """

    source: Path
    canvas: Canvas
    levels: int
    held: Sequence[Image]
    layer: Image
    reach: Reach
    ghosts: float = 0.0

    @property
    def first(self) -> int:
        """The finest level held, k."""
        return self.levels - len(self.held) + 1


class Finished(NamedTuple):
    """The photo's new integers, and shares of its pixels: gate above 0, changed; max |B_0|."""

    pixels: Pixels
    gated: float
    changed: float
    largest: float


class Step(NamedTuple):
    """What a block needs of a level: of B_i, and of I_i to make it."""

    made: Tile
    outer: Tile


class _Near(NamedTuple):
    """What the tiles of one block are made of: I_0, I_1 and B_1 there and around it."""

    base: Piece
    coarse: Piece
    layer: Piece


class _Plot(NamedTuple):
    """A tile to finish: what B_0 is multiplied by there, (h, w), and where that is above 0."""

    tile: Tile
    factor: Plane
    touched: NDArray[np.bool_]


class _Done(NamedTuple):
    """What a block adds: pixels with a gate above 0, pixels changed, max |B_0|, new integers."""

    gated: int
    changed: int
    largest: float
    parts: Sequence[Part] = ()


def finish(
    network: Network, crew: Crew, sketch: Sketch, pixels: Pixels, sides: Sides | None = None
) -> Finished:
    """Write the retouched photo over `pixels`, (H, W, 3): the canvas' own, or a copy of them.

    Raises:
        PhotoError: the network returns values that are no numbers; part of it may be written.
        DeviceError: the device is out of memory.
    """
    sides = sides or sides_for(sketch.first)
    layer = held_layer(network, crew, sketch)
    gate = sketch.reach.gate
    cells = gate.open_cells()
    blocks = Blocks(gate.size, sides.block, margin(sketch.first))
    open_ = [i for i, block in enumerate(blocks.tiles) if touches(cells, gate.cell, block, 0)]
    writer = LateWriter(pixels, blocks.lag)
    gated, changed, largest = 0, 0, 0.0
    every = crew.in_turn(
        lambda index: _finish_block(network, sketch, layer, blocks.tiles[index], sides.tile), open_
    )
    for index, done in zip(open_, every, strict=True):
        gated, changed = gated + done.gated, changed + done.changed
        largest = max(largest, done.largest)
        writer.put(index, done.parts)
    writer.finish()
    count = gate.size[0] * gate.size[1]
    return Finished(pixels, gated / count, changed / count, largest)


def held_layer(network: Network, crew: Crew, sketch: Sketch) -> Image:
    """B_k, k = `sketch.first`, where a pixel that may change needs it; elsewhere it is 0."""
    cells = sketch.reach.cells()
    layer = sketch.layer
    for level in range(sketch.levels - 1, sketch.first - 1, -1):
        layer = _finer_layer(network, crew, sketch, level, layer, cells)
    return layer


def _finer_layer(
    network: Network,
    crew: Crew,
    sketch: Sketch,
    level: int,
    layer: Image,
    cells: NDArray[np.bool_],
) -> Image:
    """B_i from the whole B_{i+1}, i = `level`, of those held."""
    base, coarse = (whole(each) for each in sketch.held[level - sketch.first :][:2])
    finer = np.zeros_like(base.image)

    def make(tile: Tile) -> None:
        outer = tile.grown(HALO, base.size)
        refined = _refine(network, level, base.cut(outer), coarse, whole(layer), outer)
        finer[tile.window] = refined[tile.within(outer)]

    cell = sketch.reach.gate.cell >> level
    crew.each(make, (tile for tile in tiles(base.size) if touches(cells, cell, tile, CONE_CELLS)))
    return finer


def _finish_block(network: Network, sketch: Sketch, layer: Image, block: Tile, side: int) -> _Done:
    """Make a block's new integers, of tiles where any factor is above 0; `layer` is B_k."""
    plots: list[_Plot] = []
    gated = changed = 0
    for tile in block.tiles(side):
        with stage("blend"):
            gate = sketch.reach.gate.at(tile)
            gated += cv2.countNonZero(gate)
            factor = sketch.reach.at(tile, gate)
            touched = factor > 0
            if touched.any():
                plots.append(_Plot(tile, factor, touched))
    if not plots:
        return _Done(gated, 0, 0.0)
    near = _near(network, sketch, layer, hull([plot.tile for plot in plots]))
    parts, largest = [], 0.0
    for tile, factor, touched in plots:
        retouched, most = _retouched(network, sketch, near, factor, tile)
        largest = max(largest, most)
        with stage("blend"):
            before = sketch.canvas.pixels[tile.window]
            after = laid_over(before, to_integers(retouched, before.dtype), touched)
            same = cv2.inRange(after ^ before, NO_CHANGE, NO_CHANGE)
            changed += same.size - cv2.countNonZero(same)
            parts.append(Part(tile, after))
    return _Done(gated, changed, largest, parts)


def cone(canvas: Canvas, block: Tile, first: int) -> list[Step]:
    """What a block needs of levels 0..k-1, k = `first`."""
    steps = [Step(block, block.evened().grown(HALO, canvas.size))]
    for level in range(1, first):
        size = canvas.level_size(level)
        made = steps[-1].outer.halved().grown(1, size)
        steps.append(Step(made, made.evened().grown(HALO, size)))
    return steps


def _near(network: Network, sketch: Sketch, layer: Image, block: Tile) -> _Near:
    """Make what a block needs of the levels that are not held; `layer` is B_k."""
    canvas, first = sketch.canvas, sketch.first
    steps = cone(canvas, block, first)
    with stage("pyramid"):
        pieces = [*canvas.pieces(steps[-1].outer, first - 1), whole(sketch.held[0])]
    near = whole(layer)
    for level in range(first - 1, 0, -1):
        made, outer = steps[level]
        base, coarse = pieces[level : level + 2]
        refined = _refine(network, level, base.cut(outer), coarse, near, outer)
        near = Piece(refined[made.within(outer)], made, base.size)
    return _Near(pieces[0], pieces[1], near)


def _retouched(
    network: Network, sketch: Sketch, near: _Near, factor: Plane, tile: Tile
) -> tuple[Image, float]:
    """A tile as float32 in the photo's own values, and max |B_0|.

    factor: (h, w) of the tile, what B_0 is multiplied by; tile: its corner on even numbers.
    """
    canvas = sketch.canvas
    outer = tile.evened().grown(HALO, canvas.size)
    base = near.base.cut(outer)
    inner = tile.within(outer)
    refined = _refine(network, 0, base, near.coarse, near.layer, outer)[inner]
    with stage("blend"):
        # What is 1 everywhere, as inside the mask, need not be multiplied by.
        refined = refined if factor.min() == 1 == factor.max() else _times(refined, factor)
        least, most = cv2.minMaxLoc(refined.reshape(len(refined), -1))[:2]
        largest = max(-least, most)
        if not np.isfinite(largest):
            raise no_numbers(sketch.source)
        seen = base[inner]
        retouched = network.blend(seen, refined)
        return canvas.space.land(canvas.pixels[tile.window], seen, retouched), largest


def _refine(
    network: Network, level: int, base: Image, coarse: Piece, layer: Piece, outer: Tile
) -> Image:
    """B_i of a tile with its halo; `base` is its I_i, coarse and layer are of I_{i+1}, B_{i+1}."""
    with stage("pyramid"):
        high_freq = base - doubled(coarse, outer, up)
        enlarged = doubled(layer, outer, upsample)
    return network.refine(level, enlarged, high_freq)


def _times(image: Image, plane: Plane) -> Image:
    """Multiply (h, w, 3) by (h, w)."""
    return np.asarray(cv2.multiply(image, cv2.merge([plane, plane, plane])), np.float32)


def unrounded(
    network: Network, crew: Crew, sketch: Sketch, sides: Sides | None = None
) -> Iterator[tuple[Tile, Image]]:
    """Yield what `finish` would round: the tiles of the photo, as float32 in its own values."""
    layer = held_layer(network, crew, sketch)
    reach, sides = sketch.reach, sides or sides_for(sketch.first)
    for block in tiles(reach.gate.size, sides.block):
        near = _near(network, sketch, layer, block)
        for tile in block.tiles(sides.tile):
            factor = reach.at(tile, reach.gate.at(tile))
            yield tile, _retouched(network, sketch, near, factor, tile)[0]


def no_numbers(source: Path) -> PhotoError:
    """The error for a photo on which the network returns NaN or infinity."""
    return PhotoError(
        source,
        "the network returned values that are no numbers",
        "Use --precision float32, or other weights.",
    )


def laid_over(pixels: Pixels, others: Pixels, where: NDArray[np.bool_]) -> Pixels:
    """Put `others` over `pixels` (both (h, w, 3)) where (h, w) is True, in a copy."""
    if where.all():
        return others
    new = pixels.copy()
    # Masked copies by np.copyto take a hundred times as long.
    cv2.copyTo(others, where.view(np.uint8), new)
    return new


def to_integers(image: Image, dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> Pixels:
    """Turn [0, 1] into the integers of a type, to the nearest."""
    scaled = image * np.float32(np.iinfo(dtype).max)
    integers: Pixels = np.rint(scaled, out=scaled).astype(dtype)
    return integers
