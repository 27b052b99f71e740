"""From the edit at thumbnail size to the photo: refine the blend layer, blend, tile by tile.

The coarse levels are whole arrays, made in tiles so that the refining module's 16 channels never
exist for more than one; level 0 exists one tile at a time. Tiles that nothing can change are not
computed. A tile's halo is clipped at the padded photo's border, so that the convolutions' zero
padding falls where it would fall on the whole: the outcome is that of the whole photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError
from ..photo import Pixels
from .clock import stage
from .colour import Image
from .crew import Crew
from .gate import Plane, Reach, touches
from .network import Network
from .pyramid import Canvas, Tile, doubled, padded_length, tiles, up, upsample

HALO = 2  # px: two 3x3 convolutions of the refining module reach so far
NO_CHANGE = (0, 0, 0)
CONE_CELLS = 1  # what a full-size pixel needs of a coarse level lies within 4 px there: one cell


class Sketch(NamedTuple):
    """The edit at thumbnail size, and all that is needed to bring it to full size.

    source: for the words of errors; canvas: I_0; images: I_1..I_l, whole; layer: B_l;
    reach:  how much of the layer lands where; ghosts: share of the thumbnail on which the layer
    was taken back along outlines.
    """

    source: Path
    canvas: Canvas
    images: list[Image]
    layer: Image
    reach: Reach
    ghosts: float = 0.0

    @property
    def levels(self) -> int:
        """Number of halvings l."""
        return len(self.images)


class Finished(NamedTuple):
    """The photo's new integers, and shares of its pixels: gate above 0, changed; max |B_0|."""

    pixels: Pixels
    gated: float
    changed: float
    largest: float


class _Tally(NamedTuple):
    """What one tile adds: pixels with a gate above 0, pixels changed, max |B_0|."""

    gated: int
    changed: int
    largest: float


def finish(network: Network, crew: Crew, sketch: Sketch) -> Finished:
    """Retouch the photo at full size.

    Raises:
        PhotoError: the network returns values that are no numbers.
        DeviceError: the device is out of memory.
    """
    layer = first_layer(network, crew, sketch)
    gate = sketch.reach.gate
    open_cells = gate.open_cells()
    pixels = sketch.canvas.pixels.copy()
    tallies = crew.each(
        lambda tile: _finish_tile(network, sketch, layer, tile, pixels),
        (tile for tile in tiles(gate.size) if touches(open_cells, gate.cell, tile, 0)),
    )
    count = gate.size[0] * gate.size[1]
    return Finished(
        pixels,
        gated=sum(t.gated for t in tallies) / count,
        changed=sum(t.changed for t in tallies) / count,
        largest=max((t.largest for t in tallies), default=0.0),
    )


def first_layer(network: Network, crew: Crew, sketch: Sketch) -> Image:
    """B_1, where a pixel that may change needs it; elsewhere it is 0 and not looked at."""
    cells = sketch.reach.cells()
    layer = sketch.layer
    for level in range(sketch.levels - 1, 0, -1):
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
    """B_i from the whole B_{i+1}, i = `level`."""
    base = sketch.images[level - 1]
    finer = np.zeros_like(base)

    def make(tile: Tile) -> None:
        outer = tile.grown(HALO, finer.shape[:2])
        refined = _refine(network, level, base[outer.window], sketch, layer, outer)
        finer[tile.window] = refined[tile.within(outer)]

    cell = sketch.reach.gate.cell >> level
    size = finer.shape[:2]
    crew.each(make, (tile for tile in tiles(size) if touches(cells, cell, tile, CONE_CELLS)))
    return finer


def retouched_tile(
    network: Network, sketch: Sketch, layer: Image, factor: Plane, tile: Tile
) -> tuple[Image, float]:
    """A tile as float32 in the photo's own values, and max |B_0|.

    layer: B_1; factor: (h, w) of the tile, what B_0 is multiplied by; tile: of the photo, its
    corner on even numbers.
    """
    canvas = sketch.canvas
    bottom, right = padded_length(tile.bottom, 2), padded_length(tile.right, 2)
    outer = Tile(tile.top, bottom, tile.left, right).grown(HALO, canvas.size)
    inner = tile.within(outer)
    with stage("pyramid"):
        base = canvas.image(outer)
    refined = _refine(network, 0, base, sketch, layer, outer)[inner]
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


def _times(image: Image, plane: Plane) -> Image:
    """Multiply (h, w, 3) by (h, w)."""
    return np.asarray(cv2.multiply(image, cv2.merge([plane, plane, plane])), np.float32)


def unrounded(network: Network, crew: Crew, sketch: Sketch) -> Iterator[tuple[Tile, Image]]:
    """Yield what `finish` would round: the tiles of the photo, as float32 in its own values."""
    layer = first_layer(network, crew, sketch)
    reach = sketch.reach
    for tile in tiles(reach.gate.size):
        factor = reach.at(tile, reach.gate.at(tile))
        yield tile, retouched_tile(network, sketch, layer, factor, tile)[0]


def no_numbers(source: Path) -> PhotoError:
    """The error for a photo on which the network returns NaN or infinity."""
    return PhotoError(
        source,
        "the network returned values that are no numbers",
        "Use --precision float32, or other weights.",
    )


def _refine(
    network: Network, level: int, base: Image, sketch: Sketch, layer: Image, outer: Tile
) -> Image:
    """B_i of a tile with its halo; `base` is its I_i, `layer` the whole B_{i+1}."""
    with stage("pyramid"):
        high_freq = base - doubled(sketch.images[level], outer, up)
        enlarged = doubled(layer, outer, upsample)
    return network.refine(level, enlarged, high_freq)


def _finish_tile(
    network: Network, sketch: Sketch, layer: Image, tile: Tile, pixels: Pixels
) -> _Tally:
    """Write one tile into `pixels`, only where its factor is above 0."""
    with stage("blend"):
        gate = sketch.reach.gate.at(tile)
        gated = cv2.countNonZero(gate)
        factor = sketch.reach.at(tile, gate)
        touched = factor > 0
        if not touched.any():
            return _Tally(gated, 0, 0.0)
    retouched, largest = retouched_tile(network, sketch, layer, factor, tile)
    with stage("blend"):
        after = pixels[tile.window]  # a view: still what it was before
        differs = _overwrite(after, to_integers(retouched, pixels.dtype), touched)
    return _Tally(gated, differs, largest)


def _overwrite(pixels: Pixels, others: Pixels, where: NDArray[np.bool_]) -> int:
    """Put `others` into `pixels` (both (h, w, 3)) where (h, w) is True; count those that differ."""
    if not where.all():
        # Masked copies by np.copyto take a hundred times as long.
        new = pixels.copy()
        cv2.copyTo(others, where.view(np.uint8), new)
        others = new
    same = cv2.inRange(others ^ pixels, NO_CHANGE, NO_CHANGE)
    pixels[...] = others
    return same.size - cv2.countNonZero(same)


def to_integers(image: Image, dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> Pixels:
    """Turn [0, 1] into the integers of a type, to the nearest."""
    scaled = image * np.float32(np.iinfo(dtype).max)
    integers: Pixels = np.rint(scaled, out=scaled).astype(dtype)
    return integers
