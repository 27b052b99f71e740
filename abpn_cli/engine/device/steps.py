"""The blend pyramid's steps on a device, in torch: what each takes and gives, and how it is done.

A level is held as a slab: some of its rows, all of their columns, (rows, w, 3), the order in which
convolutions are fastest. Pyramid and layers are float32 whatever the precision: an I_1 in half
floats would move H_0, and a layer of them a 16-bit value, by more than the bars allow. What is in
half floats is what only a correction hangs on: [u, H_i], the features, and the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...nets.bpl import BLEND_LIMIT, LEAK, RefiningModule, blend, reflect_index
from ..pyramid import Tile

RGB = 3
HALO = 2  # px: two 3x3 convolutions of the refining module reach so far
TORCH_TILE = 1024  # px, even: its 16 channels take 64 MiB in float32

Corners = NDArray[np.int32]  # (n, 2): top, left of tiles, on even numbers


class Slab(NamedTuple):
    """Some rows of a level: values (rows, w, 3), the first being row `top` of `height`.

    scale: what makes [0, 1] of them, 1 for float32; 16-bit integers are held as int16, of the same
    bits, for torch does little with uint16.
    """

    values: Tensor
    top: int
    height: int
    scale: float = 1.0

    @property
    def rows(self) -> int:
        """How many rows are held."""
        return int(self.values.shape[0])


class Landing(NamedTuple):
    """What B_0 is multiplied by: strength · user · gate.

    grid: g on M's grid, (h, w); cell: px of level 0 to one cell of it; user: what the user's masks
    leave, (rows, w) of the target, or None for all of it; size: the photo's own (height, width),
    beyond which nothing is made.
    """

    grid: Tensor
    cell: int
    strength: float
    user: Tensor | None
    size: tuple[int, int]


class Steps(ABC):
    """What the path through the levels is made of; `tile`: (height, width) of a tile."""

    tile: tuple[int, int]

    @abstractmethod
    def halve(self, fine: Slab, coarse: Slab, first: int, last: int) -> None:
        """Make rows first..last-1 of the coarse level of what the fine one holds."""

    @abstractmethod
    def refine(
        self, level: int, base: Slab, coarse: Slab, layer: Slab, target: Slab, tiles: Corners
    ) -> None:
        """Make B_i in some tiles of the target.

        base: I_i with HALO more rows than the target, where the level has them; coarse: I_{i+1},
        layer: B_{i+1}, both with 2 more rows.
        """

    @abstractmethod
    def land(
        self,
        base: Slab,
        coarse: Slab,
        layer: Slab,
        target: Slab,
        tiles: Corners,
        landing: Landing,
    ) -> Tensor:
        """Make R_0 in some tiles of the target, which holds what was before.

        target: integers as base, of which those whose factor is 0 stay, or float32 in [0, 1], not
        rounded. Returns (n, 2) float32: pixels changed, max |B_0|; not finite where B_0 is not.
        """


def is_words(values: Tensor) -> bool:
    """Whether they are 16-bit integers."""
    return values.dtype == torch.int16


class TorchSteps(Steps):
    """The steps in torch's own operations."""

    tile = (TORCH_TILE, TORCH_TILE)

    def __init__(
        self,
        modules: Sequence[RefiningModule],
        terms: Tensor,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Lay out the weights.

        modules: of the levels from 0 up, or the one that all share; terms: (6,) float32, j and k;
        dtype: of the convolutions.
        """
        self._dtype = dtype
        self._j, self._k = terms.to(device).chunk(2)
        self._weights = [
            tuple(_laid(part, device, dtype) for part in module.parameters()) for module in modules
        ]

    def halve(self, fine: Slab, coarse: Slab, first: int, last: int) -> None:
        """Rows first..last-1 of down(fine), as `Steps`."""
        if first >= last:
            return
        device = fine.values.device
        rows = reflect_index(2 * first - 2, 2 * last + 1, fine.height) - fine.top
        image = unit(fine.values[int(rows.min()) : int(rows.max()) + 1], fine.scale)
        image = image[(rows - rows.min()).to(device)]
        width = fine.values.shape[1]
        columns = reflect_index(-2, width + 1, width).to(device)
        image = _filtered(_filtered(image, 0)[:, columns], 1)
        coarse.values[first - coarse.top : last - coarse.top] = image

    def refine(
        self, level: int, base: Slab, coarse: Slab, layer: Slab, target: Slab, tiles: Corners
    ) -> None:
        """B_i = φ2(lrelu(φ1([u, H_i]))) + u, as `Steps`."""
        for top, left in tiles.tolist():
            tile = self._tile(top, left, target)
            made, _ = self._refined(level, base, coarse, layer, tile)
            target.values[_window(tile, target)] = made

    def land(
        self,
        base: Slab,
        coarse: Slab,
        layer: Slab,
        target: Slab,
        tiles: Corners,
        landing: Landing,
    ) -> Tensor:
        """R_0 of level 0, as `Steps`."""
        tallies = [
            self._landed(base, coarse, layer, target, self._tile(top, left, target), landing)
            for top, left in tiles.tolist()
        ]
        return torch.stack(tallies)

    def _tile(self, top: int, left: int, target: Slab) -> Tile:
        bottom = min(top + self.tile[0], target.top + target.rows)
        return Tile(top, bottom, left, min(left + self.tile[1], target.values.shape[1]))

    def _refined(
        self, level: int, base: Slab, coarse: Slab, layer: Slab, tile: Tile
    ) -> tuple[Tensor, Tensor]:
        """B_i and I_i of a tile, both (h, w, 3) float32."""
        outer = tile.grown(HALO, (base.height, base.values.shape[1]))
        seen = unit(base.values[_window(outer, base)], base.scale)
        high_freq = seen - _enlarged(coarse, outer, SMOOTH)
        enlarged = _enlarged(layer, outer, SOFT)
        joined = torch.cat([enlarged, high_freq], 2).to(self._dtype).permute(2, 0, 1)[None]
        first, first_bias, second, second_bias = self._weights[min(level, len(self._weights) - 1)]
        features = F.leaky_relu_(F.conv2d(joined, first, first_bias, padding=1), LEAK)
        correction = F.conv2d(features, second, second_bias, padding=1)[0].permute(1, 2, 0).float()
        inner = tile.within(outer)
        made = (correction + enlarged)[inner].clamp(-BLEND_LIMIT, BLEND_LIMIT)
        return made, seen[inner]

    def _landed(
        self, base: Slab, coarse: Slab, layer: Slab, target: Slab, tile: Tile, landing: Landing
    ) -> Tensor:
        made, seen = self._refined(0, base, coarse, layer, tile)
        window = _window(tile, target)
        factor = gate_at(landing.grid, landing.cell, tile) * landing.strength
        if landing.user is not None:
            factor = factor * landing.user[window]
        # Tiles are even, photos need not be.
        own = slice(0, landing.size[0] - tile.top), slice(0, landing.size[1] - tile.left)
        made = made * factor[..., None]
        largest = made[own].abs().max()
        result = blend(seen, made, self._j, self._k).clamp(0, 1)
        if target.values.dtype == torch.float32:
            target.values[window] = result
            return torch.stack([torch.zeros_like(largest), largest])
        before = target.values[window]
        after = (result * (1 / base.scale)).round_().to(torch.int32).to(before.dtype)
        after = torch.where((factor > 0)[..., None], after, before)
        changed = (after != before).any(2)[own].sum()
        target.values[window] = after
        return torch.stack([changed.float(), largest])


def unit(values: Tensor, scale: float) -> Tensor:
    """Values of a slab as float32 in [0, 1]."""
    if is_words(values):
        values = values.to(torch.int32) & 0xFFFF
    return values.float() * scale


def gate_at(grid: Tensor, cell: int, tile: Tile) -> Tensor:
    """The gate of a rectangle of the photo, (h, w): as `Gate.at`, to float32's last digit."""
    above, below, row_share = _between(tile.top, tile.bottom, cell, grid.shape[0], grid.device)
    left, right, share = _between(tile.left, tile.right, cell, grid.shape[1], grid.device)
    wide = grid[:, left] * (1 - share) + grid[:, right] * share
    row_share = row_share[:, None]
    return wide[above] * (1 - row_share) + wide[below] * row_share


def _between(
    start: int, stop: int, cell: int, count: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Cells on either side of pixels start..stop-1, and the share of the second one."""
    doubled = 2 * torch.arange(start, stop, device=device) + 1 - cell
    before = torch.div(doubled, 2 * cell, rounding_mode="floor")
    share = (doubled - before * 2 * cell).float() / (2 * cell)
    return before.clamp(0, count - 1), (before + 1).clamp(0, count - 1), share


class _Way(NamedTuple):
    """How a line is doubled: what even places take of before, here, after; odd ones of here, after.

    even, odd: of (before, here, after); mirrored: before the first comes the second, as in `up`.
    """

    even: tuple[float, float, float]
    odd: tuple[float, float, float]
    mirrored: bool


SMOOTH = _Way((1 / 8, 6 / 8, 1 / 8), (0, 1 / 2, 1 / 2), mirrored=True)  # the pyramid's up
SOFT = _Way((1 / 4, 3 / 4, 0), (0, 3 / 4, 1 / 4), mirrored=False)  # upsample


def _enlarged(coarse: Slab, outer: Tile, way: _Way) -> Tensor:
    """A rectangle of the finer level, on even numbers, made of the coarse one."""
    wanted = outer.halved()
    width = coarse.values.shape[1]
    rows = _taps(wanted.top, wanted.bottom, coarse.height, way) - coarse.top
    columns = _taps(wanted.left, wanted.right, width, way)
    first = int(columns.min())
    seen = coarse.values[int(rows.min()) : int(rows.max()) + 1, first : int(columns.max()) + 1]
    seen = seen[(rows - rows.min()).to(seen.device)]
    return _doubled(_doubled(seen, 0, way)[:, (columns - first).to(seen.device)], 1, way)


def _taps(start: int, stop: int, size: int, way: _Way) -> Tensor:
    """Places start-1..stop of a line, those outside of it as its border has them."""
    taps = torch.arange(start - 1, stop + 1)
    if way.mirrored and start == 0:
        taps[0] = 1
    return taps.clamp(0, size - 1)


def _doubled(image: Tensor, axis: int, way: _Way) -> Tensor:
    """Double the places 1..n-2 of an axis of n."""
    length = image.shape[axis] - 2
    before, here, after = (image.narrow(axis, start, length) for start in range(3))
    halves = (sum_of(weights, (before, here, after)) for weights in (way.even, way.odd))
    return torch.stack(tuple(halves), axis + 1).flatten(axis, axis + 1)


def sum_of(weights: Sequence[float], images: Sequence[Tensor]) -> Tensor:
    """Σ weights_i · images_i, without those that weigh nothing."""
    parts = [weight * image for weight, image in zip(weights, images, strict=True) if weight]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _filtered(image: Tensor, axis: int) -> Tensor:
    """[1, 4, 6, 4, 1]/16 along an axis, of every second place from the third on."""
    count = (image.shape[axis] - 3) // 2
    every = [image.narrow(axis, start, 2 * count - 1) for start in range(5)]
    index = (slice(None),) * axis + (slice(None, None, 2),)
    return sum_of((1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), [each[index] for each in every])


def _window(tile: Tile, slab: Slab) -> tuple[slice, slice]:
    return (
        slice(tile.top - slab.top, tile.bottom - slab.top),
        slice(tile.left, tile.right),
    )


def _laid(weights: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    moved = weights.detach().to(device, dtype)
    return moved.contiguous(memory_format=torch.channels_last) if moved.dim() == 4 else moved
