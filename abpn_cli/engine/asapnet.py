"""ASAP-Net on a photo of any size: sixteen rows of cells, a perceptron for each.

The stream sees the whole photo, reflected to sixteen rows and reduced, and says each cell's
parameters. Then the photo is gone through in tiles: several whole cells in one batched matmul, or
a part of one; parameters are never spread over pixels. Cells meet at seams, for nothing smooths
between them, unless the weights ask for blending: then a pixel is the bilinear mean of what the
four nearest cells make of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cores import Cores
from ..errors import WeightsError
from ..nets.asapnet import (
    MIN_SIDE,
    OUTPUTS,
    ROWS,
    AsapNet,
    in_cells,
    layers_of,
    perceptron,
    position_code,
    tent_taps,
)
from ..nets.bpl import reflect_index
from .clock import stage
from .colour import Image
from .network import to_tensor
from .pyramid import TILE_SIDE, Canvas, Tile
from .whole import Plan, WholeEngine, open_net

BAND_BYTES_PER_PIXEL = 48  # a band of the photo and its reduced copies, float32
STREAM_MAPS = 6  # of the stream's first width that exist at once, what convolving takes included


class Cells(NamedTuple):
    """What the stream says of a photo.

    parameters: (rows, columns, C_total); side: of a cell, px; shift: half of it where cells are
    blended, else 0; code: (side, side, 4·log2 S), from `shift` px before the cell.
    """

    parameters: Tensor
    side: int
    shift: int
    code: Tensor


class _Block(NamedTuple):
    """The cells that a tile lies in.

    corner: (row, column) of the first; cells: (rows, columns) of them; frame: the rectangle that
    is painted, which may lie beyond the photo; place, size: what of each cell is painted.
    """

    corner: tuple[int, int]
    cells: tuple[int, int]
    frame: Tile
    place: tuple[int, int]
    size: tuple[int, int]


class AsapNetEngine(WholeEngine):
    """Repaints photos by an ASAP-Net that takes RGB."""

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        precision: str = "float32",
        max_bytes: int = 4 * 2**30,
        detail: bool = False,
        cores: Cores | None = None,
    ) -> None:
        """Load the weights; arguments as of `Retoucher`, but the precision is float32 or "auto".

        Raises:
            UsageError, DeviceError, WeightsError: as `open_net`; or it takes labels, not photos.
        """
        net = open_net(path, device, precision, detail).net
        if not isinstance(net, AsapNet) or net.config.channels != 3 or net.config.edges:
            raise WeightsError(path, "is no ASAP-Net of photos", "Choose weights that take RGB.")
        self._net = net
        super().__init__(net, next(net.parameters()).device, max_bytes, cores)

    @property
    def _multiple(self) -> int:
        return 1  # nothing but the stream looks beyond the photo, and that pads by itself

    @property
    def _least_side(self) -> int:
        return MIN_SIDE

    def _levels(self, size: tuple[int, int]) -> int:
        return (self._net.side_for(size[0]) // self._net.config.learned).bit_length() - 1

    def _whole_bytes(self, size: tuple[int, int]) -> int:
        config = self._net.config
        side = self._net.side_for(size[0])
        columns = -(-size[1] // side)
        reduced = ROWS * columns * config.learned**2
        band = (side + side // config.learned) * columns * side
        return (
            band * BAND_BYTES_PER_PIXEL
            + reduced * 4 * (3 + STREAM_MAPS * config.width)
            + ROWS * columns * 4 * (STREAM_MAPS * config.most + 2 * config.cell_parameters)
            + 2 * config.code_channels * side * side * 4
        )

    def _plan(self, canvas: Canvas) -> Plan:
        height, width = canvas.pixels.shape[:2]
        cells = self._cells(canvas)

        @torch.inference_mode()
        def paint(tile: Tile) -> Image:
            with stage("perceptrons"):
                return self._painted(canvas, cells, tile)

        return Plan(list(_plots((height, width), cells.side, cells.shift)), paint)

    @torch.inference_mode()
    def _cells(self, canvas: Canvas) -> Cells:
        """Run the stream on the whole photo."""
        config = self._net.config
        side = self._net.side_for(canvas.pixels.shape[0])
        with stage("stream"), self._crew.together():
            seen = to_tensor(2 * _reduced(canvas, side, config.learned) - 1, self.device)
            parameters = self._net.low_res(seen)[0].permute(1, 2, 0).contiguous()
        code = position_code(side, config.reduction, self.device).permute(1, 2, 0)
        shift = side // 2 if config.blend_cells else 0
        return Cells(parameters, side, shift, code.roll((shift, shift), (0, 1)))

    def _painted(self, canvas: Canvas, cells: Cells, tile: Tile) -> Image:
        """A tile: whole cells, or a part of one; blended, squares between the centres of four."""
        block = _block_of(tile, cells)
        image = to_tensor(2 * _within(canvas, block.frame, tile) - 1, self.device)
        if block.cells == (1, 1):
            pixels = image[0].flatten(1).T[None]
        else:
            pixels = in_cells(image, cells.side)
        (top, left), (height, width) = block.place, block.size
        code = cells.code[top : top + height, left : left + width].flatten(0, 1)
        features = torch.cat([pixels, code.expand(len(pixels), -1, -1)], 2)
        made = self._mixed(cells, block, features)
        if self._net.config.residual:
            made = made + pixels
        inner = _joined(made, block)[tile.within(block.frame)]
        return np.ascontiguousarray((inner + 1) / 2)

    def _mixed(self, cells: Cells, block: _Block, features: Tensor) -> Tensor:
        """What the perceptrons make of (K, pixels, n_in): (K, pixels, 3)."""
        widths = self._net.config.pixel_widths
        if not cells.shift:
            chosen = _parameters(cells, block.corner, block.cells)
            return perceptron(layers_of(chosen, widths), features)
        shares = [
            (torch.arange(length, device=features.device) + start + 0.5) / cells.side
            for start, length in zip(block.place, block.size, strict=True)
        ]
        mean = torch.zeros(*features.shape[:2], OUTPUTS, device=features.device)
        for down, right in product((0, 1), (0, 1)):
            corner = (block.corner[0] - 1 + down, block.corner[1] - 1 + right)
            chosen = _parameters(cells, corner, block.cells)
            rows = shares[0] if down else 1 - shares[0]
            columns = shares[1] if right else 1 - shares[1]
            weight = (rows[:, None] * columns).reshape(1, -1, 1)
            mean += weight * perceptron(layers_of(chosen, widths), features)
        return mean


def _block_of(tile: Tile, cells: Cells) -> _Block:
    """Where a tile of `_plots` lies among the cells."""
    side, shift = cells.side, cells.shift
    top, left = ((start + shift) // side for start in (tile.top, tile.left))
    rows = -(-(tile.bottom + shift) // side) - top
    columns = -(-(tile.right + shift) // side) - left
    first, start = top * side - shift, left * side - shift
    if rows == columns == 1:
        place = (tile.top - first, tile.left - start)
        size = (tile.bottom - tile.top, tile.right - tile.left)
        return _Block((top, left), (1, 1), tile, place, size)
    frame = Tile(first, first + rows * side, start, start + columns * side)
    return _Block((top, left), (rows, columns), frame, (0, 0), (side, side))


def _parameters(cells: Cells, corner: tuple[int, int], count: tuple[int, int]) -> Tensor:
    """Of a block of cells, (K, C_total); beyond the photo's rim those at it."""
    rows, columns = (
        torch.arange(start, start + number).clamp(0, most - 1)
        for start, number, most in zip(corner, count, cells.parameters.shape[:2], strict=True)
    )
    return cells.parameters[rows[:, None], columns].flatten(0, 1)


def _within(canvas: Canvas, frame: Tile, tile: Tile) -> Image:
    """A tile as the network sees it, in a frame of 0 that is thrown away."""
    seen = canvas.image(tile)
    if frame == tile:
        return seen
    image = np.zeros((frame.bottom - frame.top, frame.right - frame.left, 3), np.float32)
    image[tile.within(frame)] = seen
    return image


def _joined(made: Tensor, block: _Block) -> Image:
    """Cells as one picture, (K, pixels, 3) to (height, width, 3) of the block's frame."""
    (rows, columns), (height, width) = block.cells, block.size
    cut = made.reshape(rows, columns, height, width, OUTPUTS).permute(0, 2, 1, 3, 4)
    picture: Image = cut.reshape(rows * height, columns * width, OUTPUTS).cpu().numpy()
    return picture


def _plots(size: tuple[int, int], side: int, shift: int) -> Iterator[Tile]:
    """Cut a photo into tiles of whole cells, or of parts of one, about TILE_SIDE px."""
    cuts = [list(_cuts(length, side, shift)) for length in size]
    for top, bottom in cuts[0]:
        for left, right in cuts[1]:
            yield Tile(top, bottom, left, right)


def _cuts(length: int, side: int, shift: int) -> Iterator[tuple[int, int]]:
    """Cut a line of cells, the first of which begins `shift` px before it."""
    step = max(1, TILE_SIDE // side) * side
    for first in range(-shift, length, step):
        last = min(first + step, length)
        for start in range(max(first, 0), last, TILE_SIDE if side > TILE_SIDE else step):
            yield start, min(start + TILE_SIDE, last) if side > TILE_SIDE else last


def _reduced(canvas: Canvas, side: int, learned: int) -> Image:
    """What the stream sees: sixteen rows of cells, reflected beyond the photo, each `learned` px.

    A row of cells at a time; equals `nets.asapnet.tent` of the whole.
    """
    height, width = canvas.pixels.shape[:2]
    factor = side // learned
    columns = -(-width // side)
    before = factor // 2 if factor > 1 else 0
    across = _places(width, columns * side, factor, before)
    along = _places(height, ROWS * side, factor, before)
    taps = _taps(factor)
    reduced = np.empty((ROWS * learned, columns * learned, 3), np.float32)
    for row in range(ROWS):
        rows = along[row * side : (row + 1) * side + len(taps) - factor]
        band = canvas.space.to_network(canvas.pixels[rows[:, None], across])
        halved = _tented(band.reshape(len(band), -1), taps, factor)
        turned = halved.reshape(learned, -1, 3).swapaxes(0, 1)
        narrow = _tented(turned.reshape(len(across), -1), taps, factor)
        reduced[row * learned : (row + 1) * learned] = narrow.reshape(-1, learned, 3).swapaxes(0, 1)
    return reduced


def _places(length: int, padded: int, factor: int, before: int) -> NDArray[np.intp]:
    """Which pixels a line is made of, with what the filter looks at beyond both ends."""
    extra = factor if factor > 1 else 0
    line = reflect_index(0, padded, length).numpy()
    ends = reflect_index(-before, padded + extra - before, padded).numpy()
    return np.asarray(line[ends], np.intp)


def _taps(factor: int) -> NDArray[np.float32]:
    """The tent filter's taps; a single 1 where nothing is reduced."""
    return np.asarray(tent_taps(factor).numpy(), np.float32)


def _tented(lines: NDArray[np.float32], taps: NDArray[np.float32], factor: int) -> Image:
    """Filter and decimate the first axis of (n, m)."""
    count = (len(lines) - len(taps)) // factor + 1
    total = np.zeros((count, lines.shape[1]), np.float32)
    for at, tap in enumerate(taps):
        total += tap * lines[at : at + (count - 1) * factor + 1 : factor]
    return total
