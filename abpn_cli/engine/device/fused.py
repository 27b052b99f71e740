"""The steps as Triton kernels: weights as they want them, and their launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...nets.bpl import REFINE_CHANNELS, RefiningModule
from .steps import RGB, Corners, Landing, Slab, Steps, is_words

RUN, TAPS, IDLE = 6, 3, 1  # px of a row a block makes; a convolution's; idle channel beside RGB
SEEN, FELT, MADE = 32, 128, 32  # as in kernels.py, which cannot be read where Triton is missing
BLOCKS, ROWS = 64, 64  # of a tile: 384 x 64 px; 64 rows are what Hopper's tensor cores take
WARPS, STAGES = 8, 1  # with four warps, or loads ahead, more registers spill
HALVED = (4, 256)  # rows, values of a row that one program halves to


class FusedSteps(Steps):
    """The steps in kernels that hold features in registers."""

    tile = (ROWS, RUN * BLOCKS)

    def __init__(
        self,
        modules: Sequence[RefiningModule],
        terms: Tensor,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Lay out the weights; arguments as `TorchSteps`."""
        from . import kernels  # Triton takes a second to load, and may be missing

        self._kernels: Any = kernels
        self._terms = terms.to(device)
        # Exact where nobody looks for speed: tensor cores would cut float32 short.
        self._exact = "ieee" if dtype == torch.float32 else "tf32"
        self._weights = [
            tuple(part.to(device, dtype if part.dim() > 1 else torch.float32) for part in parts)
            for parts in map(_banded, modules)
        ]

    def halve(self, fine: Slab, coarse: Slab, first: int, last: int) -> None:
        """Rows first..last-1 of down(fine), as `Steps`."""
        if first >= last:
            return
        width = fine.values.shape[1]
        grid = (-(-(last - first) // HALVED[0]), -(-(width // 2 * RGB) // HALVED[1]))
        self._kernels.halve_kernel[grid](
            fine.values, coarse.values, fine.scale, fine.top, fine.height, width, coarse.top,
            first, last, WORDS=is_words(fine.values), ROWS=HALVED[0], COLUMNS=HALVED[1],
        )  # fmt: skip

    def refine(
        self, level: int, base: Slab, coarse: Slab, layer: Slab, target: Slab, tiles: Corners
    ) -> None:
        """B_i = φ2(lrelu(φ1([u, H_i]))) + u, as `Steps`."""
        self._launch(level, base, coarse, layer, target, tiles, None)

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
        return self._launch(0, base, coarse, layer, target, tiles, landing)

    def _launch(
        self,
        level: int,
        base: Slab,
        coarse: Slab,
        layer: Slab,
        target: Slab,
        tiles: Corners,
        landing: Landing | None,
    ) -> Tensor:
        device = target.values.device
        corners = torch.from_numpy(tiles).to(device, non_blocking=True)
        tallies = torch.empty((len(tiles), 2), device=device)
        nothing = tallies  # a pointer that is not followed
        grid = nothing if landing is None else landing.grid
        user = nothing if landing is None or landing.user is None else landing.user
        self._kernels.refine_kernel[(len(tiles),)](
            base.values, coarse.values, layer.values, target.values, corners, tallies,
            *self._weights[min(level, len(self._weights) - 1)],
            grid, user, self._terms, float(1 if landing is None else landing.strength), base.scale,
            1 / base.scale, base.top, base.rows, coarse.top, coarse.rows, layer.top, layer.rows,
            target.top, target.top + target.rows, base.height, base.values.shape[1],
            *grid.shape[:2], *((1, 0, 0) if landing is None else (landing.cell, *landing.size)),
            WORDS=is_words(base.values), BLOCKS=BLOCKS, ROWS=ROWS, EXACT=self._exact,
            LANDS=landing is not None, USER=user is not nothing,
            FLOATS=target.values.dtype == torch.float32, num_warps=WARPS, num_stages=STAGES,
        )  # fmt: skip
        return tallies


def _banded(module: RefiningModule) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """φ1's bands for u and for H, its bias; φ2's band, its bias.

    Of a band, (3, inputs, outputs), [r] times a row of pixels is what that row adds to the row of
    outputs at r = 0 below it, 1 beside it, 2 above it.
    """
    phi1, phi2 = module.phi1, module.phi2
    assert phi1.bias is not None and phi2.bias is not None
    outputs = RUN + TAPS - 1
    for_u, for_high = (_band(part, outputs) for part in phi1.weight.detach().chunk(2, 1))
    second = _band(F.pad(phi2.weight.detach(), (0, 0, 0, 0, 0, 0, 0, IDLE)), RUN)
    bias = F.pad(phi2.bias.detach(), (0, IDLE)).repeat(RUN)
    return (
        F.pad(for_u, (0, 0, 0, SEEN - for_u.shape[1])).contiguous(),
        F.pad(for_high, (0, 0, 0, SEEN - for_high.shape[1])).contiguous(),
        phi1.bias.detach().repeat(FELT // REFINE_CHANNELS),
        F.pad(second, (0, MADE - second.shape[2])).contiguous(),
        F.pad(bias, (0, MADE - len(bias))),
    )


def _band(weight: Tensor, count: int) -> Tensor:
    """Turn (c, n, 3, 3) into maps from a row of count + 2 pixels to one of count.

    Returns (3, (count + 2)·n, count·c).
    """
    outputs, inputs = weight.shape[:2]
    band = weight.new_zeros(TAPS, count + TAPS - 1, inputs, count, outputs)
    for pixel in range(count):
        for right in range(TAPS):
            band[:, pixel + right, :, pixel, :] = weight[:, :, :, right].permute(2, 1, 0)
    return band.reshape(TAPS, (count + TAPS - 1) * inputs, count * outputs)
