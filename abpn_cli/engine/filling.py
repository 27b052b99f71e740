"""How a hole in a window is filled: by copies of what lies around it, or by the network.

A filler gets the window's integers and its hole, and returns the filling in the photo's own values:
what surrounds the hole is in them, and nothing else is asked of their colours. Large windows are
filled small; the detail comes by `residuals`, in float32 from the integers, so that 16-bit photos
keep their digits.
"""

from __future__ import annotations

from math import ceil, sqrt
from pathlib import Path
from typing import Protocol

import numpy as np
import patchmatch
import torch
from numpy.typing import NDArray

from .. import weights
from ..errors import DeviceError, WeightsError
from ..nets.hifill import CELL, Hifill
from ..photo import Pixels
from .colour import Image, unit
from .crew import Crew
from .holes import LEAST_SIDE
from .pyramid import Tile
from .residuals import Grid, aggregated, bell, block_means, detail, enlarged, matches

Bools = NDArray[np.bool_]

PATCH_RADIUS = 5  # px: patches of 11 x 11, the best of 2, 3 and 5 (docs/experiments.md)
SEED = 1  # of its random search: the same photo comes out the same
WORK_AREA = 1024**2  # px that are searched at once: 3 s on one core


class Filler(Protocol):
    """Fills holes.

    method: what it is called in events; square: whether its windows must be squares of a multiple
    of LEAST_SIDE; weight_bytes: memory that a network's parameters take.
    """

    method: str
    square: bool
    weight_bytes: int

    def fill(self, pixels: Pixels, hole: Bools, box: Tile) -> Image:
        """Fill the hole of a window.

        pixels: (h, w, 3) of the window; hole: (h, w), not everywhere; box: what is wanted of it.
        Returns (h, w, 3) float32 of the box, in the photo's own values, [0, 1].

        Raises:
            DeviceError: the device is out of memory.
        """

    def peak_bytes(self, area: int) -> int:
        """Most memory that a window of so many pixels takes, its integers and hole not counted."""


class PatchMatchFiller:
    """Copies of patches around the hole, blended: PyPatchMatch, after Barnes et al. 2009."""

    method = "patchmatch"
    square = False
    weight_bytes = 0

    def __init__(self) -> None:
        if not patchmatch.patch_match.patchmatch_available:
            raise DeviceError(
                "PyPatchMatch has no library for this machine. Reinstall it, or use --weights."
            )

    def fill(self, pixels: Pixels, hole: Bools, box: Tile) -> Image:
        """Fill as `Filler` says."""
        height, width = hole.shape
        ratio = ceil(sqrt(height * width / WORK_AREA))
        pixels, hole = _whole_blocks(pixels, hole, ratio)
        small = _shrunk(pixels, ratio)
        gone = _touched(hole, ratio)
        patchmatch.patch_match.set_random_seed(SEED)
        filled = unit(patchmatch.patch_match.inpaint(small, gone, patch_size=PATCH_RADIUS))
        filling = enlarged(filled, ratio, box)
        if ratio > 1 or pixels.dtype == np.uint16:
            filling += _matched(pixels, filled, gone, ratio, box)
        return filling.clip(0, 1)

    def peak_bytes(self, area: int) -> int:
        """Most memory that a window takes."""
        return min(area, WORK_AREA) * 220 + 4 * area


class HifillFiller:
    """The network of `nets.hifill`, and its attention's residuals."""

    method = "hifill"
    square = True

    def __init__(self, path: Path, device: torch.device, crew: Crew) -> None:
        """Load weights.

        Raises:
            WeightsError: missing, damaged, or of another network.
        """
        loaded = weights.load(path, device)
        if not isinstance(loaded.net, Hifill):
            raise WeightsError(
                path, f"holds a '{loaded.header.net}' network", "Choose weights of a HiFill."
            )
        self._net = loaded.net
        self._device = device
        self._crew = crew
        self.weight_bytes = sum(p.numel() * p.element_size() for p in self._net.parameters())

    def fill(self, pixels: Pixels, hole: Bools, box: Tile) -> Image:
        """Fill as `Filler` says."""
        side = self._net.config.side
        ratio = -(-hole.shape[0] // side)
        small = block_means_of(pixels, ratio)
        gone = _touched(hole, ratio)
        filled, attention = self._run(small, gone)
        filling = enlarged(filled, ratio, box)
        if ratio > 1:
            grid = Grid(side // CELL, CELL * ratio)
            bands = (
                detail(unit(pixels[band.window]), small, ratio, hole[band.window], band)
                for band in map(grid.band, range(grid.side))
            )
            for cell, made in aggregated(bands, attention, grid.cells_of(hole), grid):
                _add(filling, box, made, _cell_tile(cell, grid))
        return filling.clip(0, 1)

    def peak_bytes(self, area: int) -> int:
        """Most memory that a window takes."""
        small = self._net.config.side**2
        return 2 * self.weight_bytes + round(2500 * small * self._net.config.width) + 8 * area

    @torch.inference_mode()
    def _run(self, small: Image, gone: Bools) -> tuple[Image, NDArray[np.float32]]:
        """Fill (S, S, 3) in [0, 1]; returns it, and the attention (G, G)."""
        order = slice(None, None, -1 if self._net.config.order == "bgr" else 1)
        picture = np.ascontiguousarray(small[..., order].transpose(2, 0, 1)) * 2 - 1
        mask = torch.from_numpy(gone.astype(np.float32))[None, None].to(self._device)
        try:
            with self._crew.together():
                filled = self._net(torch.from_numpy(picture)[None].to(self._device), mask)
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"{self._device} is out of memory. Free some of it, or use --device cpu."
            ) from error
        refined = ((filled.refined[0] + 1) / 2).permute(1, 2, 0).cpu().numpy()
        return np.ascontiguousarray(refined[..., order]), filled.attention[0].cpu().numpy()


def block_means_of(pixels: Pixels, ratio: int) -> Image:
    """Shrink integers (h, w, 3) to [0, 1], a band at a time."""
    rows = range(0, len(pixels), LEAST_SIDE)
    bands = [block_means(unit(pixels[row : row + LEAST_SIDE]), ratio) for row in rows]
    return np.concatenate(bands)


def _shrunk(pixels: Pixels, ratio: int) -> NDArray[np.uint8]:
    """Shrink integers (h, w, 3) to eight bits."""
    return np.rint(block_means_of(pixels, ratio) * 255).astype(np.uint8)


def _whole_blocks(pixels: Pixels, hole: Bools, ratio: int) -> tuple[Pixels, Bools]:
    """Mirror a window at its bottom and right until its sides are multiples of the ratio."""
    pads = [(0, -length % ratio) for length in hole.shape]
    if not any(pad for _, pad in pads):
        return pixels, hole
    return mirrored(pixels, pads), np.pad(hole, pads, "symmetric")


def mirrored(pixels: Pixels, pads: list[tuple[int, int]]) -> Pixels:
    """Mirror (h, w, 3) integers beyond their rims, by so many rows and columns."""
    rows, columns = (
        np.pad(np.arange(length), pad, "symmetric")
        for length, pad in zip(pixels.shape[:2], pads, strict=True)
    )
    grown: Pixels = pixels[np.ix_(rows, columns)]
    return grown


def _touched(hole: Bools, ratio: int) -> Bools:
    """Which blocks a hole touches."""
    height, width = hole.shape
    blocks = hole.reshape(height // ratio, ratio, width // ratio, ratio)
    return np.asarray(blocks.any((1, 3)), np.bool_)


def _matched(pixels: Pixels, filled: Image, gone: Bools, ratio: int, box: Tile) -> Image:
    """Bring the detail of a window to its filling, (h, w, 3) of the box, from what is like it."""
    size = (box.bottom - box.top, box.right - box.left)
    total = np.zeros((*size, 3), np.float32)
    weight = np.full(size, np.finfo(np.float32).tiny, np.float32)
    for match in matches(filled, gone):
        tile = match.tile
        lasts = match.top + tile.bottom - tile.top, match.left + tile.right - tile.left
        source = _times(Tile(match.top, lasts[0], match.left, lasts[1]), ratio)
        known = np.zeros((source.bottom - source.top, source.right - source.left), np.bool_)
        found = detail(unit(pixels[source.window]), filled, ratio, known, source)
        share = bell(tile, ratio)
        _add(total, box, found * share[..., None], _times(tile, ratio))
        _add(weight, box, share, _times(tile, ratio))
    total /= weight[..., None]
    return total


def _times(tile: Tile, ratio: int) -> Tile:
    return Tile(*(length * ratio for length in tile))


def _cell_tile(cell: int, grid: Grid) -> Tile:
    """The pixels of a cell."""
    top, left = (at * grid.cell for at in divmod(cell, grid.side))
    return Tile(top, top + grid.cell, left, left + grid.cell)


def _add(total: NDArray[np.float32], box: Tile, part: NDArray[np.float32], tile: Tile) -> None:
    """Add what lies at `tile` to what lies at `box`, where they overlap."""
    common = Tile(
        max(tile.top, box.top),
        min(tile.bottom, box.bottom),
        max(tile.left, box.left),
        min(tile.right, box.right),
    )
    if common.top < common.bottom and common.left < common.right:
        total[common.within(box)] += part[common.within(tile)]
