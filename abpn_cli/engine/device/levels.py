"""One photo's levels on the device: up to the thumbnail, and down again to the photo.

The photo is cut into strips of rows that fit the device, most photos into one, and these into bands
that are copied while others are computed. Of a strip the integers, I_1 and B_1 are held, of the
photo what is coarser; level 0 exists in floats only within a kernel, or a tile. Bands that nothing
can change do not come back: the host has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..finish import CONE_CELLS
from ..gate import Reach
from ..pyramid import Canvas
from .plan import ALIGNED, LAYER_MARGIN, MARGINS, Rows, cut, fill_padded, open_tiles
from .steps import RGB, Corners, Landing, Slab, Steps, unit
from .traffic import TURNS, Traffic

BAND_ALIGNED = 64  # px: what a tile of the kernels is high


class Sizes(NamedTuple):
    """How much at a time: px of a photo that lie on the device, px that are copied."""

    strip: int = 2**25  # 9 bytes each, or 12: integers, I_1 and B_1
    band: int = 2**22


class Band(NamedTuple):
    """Rows of level 0; fetch waits for what was made of them, (rows, w, 3); None: nothing was."""

    rows: Rows
    fetch: Callable[[], NDArray[Any]] | None


class _Held(NamedTuple):
    """What of a strip lies on the device: I_0, I_1, B_1."""

    base: Slab
    first: Slab
    layer: Slab


class _OnDevice(NamedTuple):
    """What lands where; cells: of M's grid in which any pixel may change; grid: the gate's."""

    told: Reach
    cells: NDArray[np.bool_]
    grid: Tensor


class Levels:
    """The levels of one photo."""

    def __init__(
        self, steps: Steps, traffic: Traffic, sizes: Sizes, canvas: Canvas, count: int
    ) -> None:
        """Take nothing yet; count: number of halvings l."""
        self._steps, self._traffic, self._sizes = steps, traffic, sizes
        self._device = traffic.device
        self._canvas = canvas
        self._count = count
        self._images: dict[int, Slab] = {}
        self._strip: tuple[Slab, Slab] | None = None  # I_0 and I_1 of a photo that is one strip
        self._layer = Slab(torch.empty(0), 0, 0)
        self._tallies: list[Tensor] = []
        self._reach: _OnDevice

    def thumbnail(self) -> Tensor:
        """Make I_l, (h, w, 3) float32, of the whole photo."""
        height, width = self._canvas.size
        for level in range(2, self._count + 1):
            rows = Rows(0, height >> level)
            self._images[level] = self._slab(rows, height >> level, width >> level)
        strips = list(self._strips())
        for strip in strips:
            base, first = self._fetched(strip, "thumbnail")
            if self._count > 1:
                with self._traffic.timed("thumbnail"):
                    self._steps.halve(first, self._images[2], *strip.at(2))
            self._strip = (base, first) if len(strips) == 1 else None
        if self._strip is not None:
            self._images[1] = self._strip[1]
        with self._traffic.timed("thumbnail"):
            for level in range(3, self._count + 1):
                whole = self._images[level]
                self._steps.halve(self._images[level - 1], whole, 0, whole.height)
        return self._images[self._count].values

    def refine(self, layer: Tensor, reach: Reach, grid: Tensor) -> None:
        """Make B_2 of B_l, (h, w, 3), where a pixel that may change needs it.

        grid: the gate's grid, on the device.
        """
        whole = self._images[self._count]
        self._reach = _OnDevice(reach, reach.cells(), grid)
        self._layer = Slab(layer, 0, whole.height)
        with self._traffic.timed("refine"):
            for level in range(self._count - 1, 1, -1):
                base = self._images[level]
                self._layer = self._finer(level, base, Rows(0, base.height))

    def bands(self, rounded: bool) -> Iterator[Band]:
        """Make the photo, with the reach that `refine` was given.

        A band's array is good until the one after the next is asked for.
        rounded: integers of the photo's type, 16-bit ones as int16; or float32 in [0, 1].
        """
        gate, cells = self._reach.told.gate, self._reach.cells
        height, width = gate.size
        waiting: deque[Band] = deque()
        turn = 0
        for strip in self._strips():
            held = None
            for rows in cut(strip, self._canvas.size[1], self._sizes.band, BAND_ALIGNED):
                inside = Rows(rows.first, min(rows.last, height))
                tiles = open_tiles(cells, gate.cell, inside, width, self._steps.tile, 0)
                if not len(tiles):
                    waiting.append(Band(rows, None))
                    continue
                held = held or self._held(strip)
                while sum(band.fetch is not None for band in waiting) >= TURNS:
                    yield waiting.popleft()
                made = self._landed(held, rows, tiles, rounded)
                waiting.append(Band(rows, self._traffic.down(made, turn)))
                turn = (turn + 1) % TURNS
        yield from waiting

    def told(self) -> tuple[int, float]:
        """How many pixels changed, and max |B_0|: not finite where it is no number."""
        if not self._tallies:
            return 0, 0.0
        tallies = torch.cat(self._tallies).double()
        changed, largest = torch.stack([tallies[:, 0].sum(), tallies[:, 1].max()]).tolist()
        return round(changed), largest

    def _strips(self) -> Iterator[Rows]:
        height, width = self._canvas.size
        if self._count == 1:  # the thumbnail is I_1, which must be whole; a photo of 2047 px
            return iter([Rows(0, height)])
        return cut(Rows(0, height), width, self._sizes.strip, ALIGNED)

    def _fetched(self, strip: Rows, stage: str) -> tuple[Slab, Slab]:
        """I_0 and I_1 of a strip with their margins, band by band as they come."""
        height, width = self._canvas.size
        pixels = self._canvas.pixels
        rows = strip.grown(MARGINS[0], height)
        kind = torch.uint8 if pixels.dtype == np.uint8 else torch.int16
        scale = float(np.float32(1 / np.iinfo(pixels.dtype).max))
        base = self._slab(rows, height, width, kind, scale)
        inner = strip.at(1).grown(MARGINS[1], height // 2)
        first = self._slab(inner, height // 2, width // 2)
        self._traffic.begin()
        made = inner.first
        for band in cut(rows, width, self._sizes.band, 2):

            def fill(into: NDArray[Any], band: Rows = band) -> None:
                fill_padded(pixels, band, self._canvas.size, into)

            self._traffic.up(fill, base.values[band.first - rows.first :][: band.many])
            # A row of I_1 takes two rows of I_0 below its own.
            ready = inner.last if band.last == rows.last else (band.last - 1) // 2
            ready = max(made, min(ready, inner.last))
            with self._traffic.timed(stage):
                self._steps.halve(base, first, made, ready)
            made = ready
        return base, first

    def _held(self, strip: Rows) -> _Held:
        base, first = self._strip or self._fetched(strip, "pyramid")
        layer = self._layer
        if self._count > 1:
            with self._traffic.timed("refine"):
                rows = strip.at(1).grown(LAYER_MARGIN, first.height)
                layer = self._finer(1, first, rows)
        return _Held(base, first, layer)

    def _finer(self, level: int, base: Slab, rows: Rows) -> Slab:
        """Rows of B_i of the whole B_{i+1}; 0 where nothing that may change needs it."""
        height, width = base.height, base.values.shape[1]
        values = torch.zeros((rows.many, width, RGB), device=self._device)
        target = Slab(values, rows.first, height)
        cell = self._reach.told.gate.cell >> level
        tiles = open_tiles(self._reach.cells, cell, rows, width, self._steps.tile, CONE_CELLS)
        if len(tiles):
            coarse = self._images[level + 1]
            self._steps.refine(level, base, coarse, self._layer, target, tiles)
        return target

    def _landed(self, held: _Held, rows: Rows, tiles: Corners, rounded: bool) -> Tensor:
        """Rows of R_0, those of closed tiles as they were."""
        base, reach = held.base, self._reach.told
        before = base.values[rows.first - base.top :][: rows.many]
        landing = Landing(
            self._reach.grid,
            reach.gate.cell,
            reach.strength,
            self._user(rows, reach),
            reach.gate.size,
        )
        with self._traffic.timed("blend"):
            values = before.clone() if rounded else unit(before, base.scale)
            target = Slab(values, rows.first, base.height, base.scale if rounded else 1.0)
            tallies = self._steps.land(base, held.first, held.layer, target, tiles, landing)
            self._tallies.append(tallies)
        return values

    def _user(self, rows: Rows, reach: Reach) -> Tensor | None:
        """What the user's masks leave of the factor in rows, (rows, w), or None for all."""
        if reach.only is None and reach.protect is None:
            return None
        height, width = self._canvas.pixels.shape[:2]
        window = slice(rows.first, min(rows.last, height)), slice(0, width)

        def fill(into: NDArray[Any]) -> None:
            into[:] = 0
            inside = into[: window[0].stop - rows.first, :width]
            inside[:] = 1 if reach.only is None else reach.only[window]
            if reach.protect is not None:
                inside *= 1 - reach.protect[window]

        user = torch.empty((rows.many, self._canvas.size[1]), device=self._device)
        self._traffic.begin()
        self._traffic.up(fill, user)
        return user

    def _slab(
        self,
        rows: Rows,
        height: int,
        width: int,
        kind: torch.dtype = torch.float32,
        scale: float = 1.0,
    ) -> Slab:
        values = torch.empty((rows.many, width, RGB), dtype=kind, device=self._device)
        return Slab(values, rows.first, height, scale)
