"""LPTN on a photo of any size: the low image whole, the bands tile by tile.

Its InstanceNorm sees the whole low image, so that tiles are those of one photo. The mask is found
at the second-smallest level, in tiles with as much around them as its convolutions reach; what is
finer is pointwise but for the pyramid, and made of the photo's integers where it is looked at. So
tiles equal the whole to rounding. The photo is padded by reflection to a multiple of 2^L.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cores import Cores
from ..errors import WeightsError
from ..nets.lptn import MASK_CHANNELS, MIN_SIDE, Lptn
from .clock import stage
from .colour import Image
from .network import to_array, to_tensor
from .pyramid import (
    BYTES_PER_PIXEL,
    Canvas,
    Piece,
    Tile,
    doubled,
    down,
    padded_length,
    tiles,
    up,
    whole,
    whole_level,
)
from .whole import Plan, WholeEngine, open_net

# The low branch per pixel of the low image: five maps of 64 channels. A whole process took 337 MiB
# more than before at 4096 x 4096, where this and the rest say 800.
LOW_BYTES_PER_PIXEL = 1280


class _Held(NamedTuple):
    """What is held whole, k = L - 1: I_k, its new version, and the masks of bands 0..k.

    masks: (h, w, C) at level k; finer bands take the nearest of its cells.
    """

    image: Image
    result: Image
    masks: Sequence[Image]


class LptnEngine(WholeEngine):
    """Repaints photos by an LPTN."""

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
            UsageError, DeviceError, WeightsError: as `open_net`.
        """
        net = open_net(path, device, precision, detail).net
        if not isinstance(net, Lptn):
            raise WeightsError(path, "is not an LPTN", "Choose weights of an LPTN.")
        self._net = net
        super().__init__(net, next(net.parameters()).device, max_bytes, cores)

    @property
    def _bands(self) -> int:
        return self._net.config.bands

    @property
    def _multiple(self) -> int:
        return 1 << self._bands

    @property
    def _least_side(self) -> int:
        return max(MIN_SIDE, self._multiple)

    def _levels(self, size: tuple[int, int]) -> int:
        return self._bands

    def _whole_bytes(self, size: tuple[int, int]) -> int:
        height, width = (padded_length(length, self._multiple) >> self._bands for length in size)
        low = height * width
        masks = MASK_CHANNELS[self._net.config.variant] * 4
        if self._net.config.variant == "paper":
            masks *= self._bands
        return low * (4 * (2 * BYTES_PER_PIXEL + masks) + 4 * BYTES_PER_PIXEL + LOW_BYTES_PER_PIXEL)

    def _plan(self, canvas: Canvas) -> Plan:
        held = self._held_level(canvas)
        height, width = canvas.pixels.shape[:2]

        @torch.inference_mode()
        def paint(tile: Tile) -> Image:
            return self._painted(canvas, held, tile)

        return Plan(list(tiles((height, width))), paint)

    def _held_level(self, canvas: Canvas) -> _Held:
        """Run both branches, and finish level k = L - 1."""
        level = self._bands - 1
        image = whole_level(canvas, level, self._crew)
        low = down(image)
        translated = self._translated(low)
        masks = self._masks(image, low, translated)
        result = np.empty_like(image)

        @torch.inference_mode()
        def make(tile: Tile) -> None:
            result[tile.window] = self._finer(
                level, tile, whole(image), whole(low), whole(translated), masks
            )

        self._crew.each(make, tiles((image.shape[0], image.shape[1])))
        return _Held(image, result, masks)

    @torch.inference_mode()
    def _translated(self, low: Image) -> Image:
        with stage("low branch"), self._crew.together():
            return to_array(self._net.trans_low(to_tensor(low, self.device)))

    def _masks(self, image: Image, low: Image, translated: Image) -> list[Image]:
        """Find m of band k = L - 1 and what goes on to each finer one; index 0 is the finest."""
        branch = self._net.trans_high
        size = (image.shape[0], image.shape[1])
        masks = [
            np.empty((*size, MASK_CHANNELS[self._net.config.variant]), np.float32)
            for _ in range(self._bands if self._net.config.variant == "paper" else 1)
        ]

        @torch.inference_mode()
        def make(tile: Tile) -> None:
            outer = tile.grown(branch.reach, size)
            high = image[outer.window] - doubled(whole(low), outer, up)
            seen = (high, _twice(low, outer), _twice(translated, outer))
            with stage("mask"):
                found = branch.mask(*(to_tensor(each, self.device) for each in seen))
                for level in reversed(range(len(masks))):
                    found = branch.carried(found, level)
                    masks[level][tile.window] = to_array(found)[tile.within(outer)]

        self._crew.each(make, tiles(size))
        return masks if len(masks) > 1 else masks * self._bands

    def _painted(self, canvas: Canvas, held: _Held, tile: Tile) -> Image:
        """A tile of the new I_0, from the level that is held."""
        top = self._bands - 1
        wanted = [tile.evened()]
        for level in range(1, top + 1):
            reach = wanted[-1].halved().grown(1, canvas.level_size(level))
            wanted.append(reach.evened() if level < top else reach)
        images = [whole(held.image)]
        if top:
            with stage("pyramid"):
                images = [*canvas.pieces(wanted[top - 1], top - 1), *images]
        result = whole(held.result)
        for level in reversed(range(top)):
            part = wanted[level]
            made = self._finer(level, part, images[level], images[level + 1], result, held.masks)
            result = Piece(made, part, canvas.level_size(level))
        return result.cut(tile)

    def _finer(
        self, level: int, tile: Tile, base: Piece, coarse: Piece, result: Piece,
        masks: Sequence[Image],
    ) -> Image:  # fmt: skip
        """The new I_i of a tile on even numbers, i = `level`.

        base: I_i; coarse, result: I_{i+1} and its new version.
        """
        with stage("pyramid"):
            high = base.cut(tile) - doubled(coarse, tile, up)
            enlarged = doubled(result, tile, up)
        with stage("bands"):
            mask = _enlarged(masks[level], tile, self._bands - 1 - level)
            weighed = self._net.trans_high.weigh(self._seen(high), self._seen(mask), level)
            enlarged += to_array(weighed)
            return enlarged

    def _seen(self, image: Image) -> Tensor:
        return to_tensor(image, self.device)


def _enlarged(mask: Image, tile: Tile, halvings: int) -> Image:
    """A tile of a level, of a mask held so many `halvings` above it: the nearest of its cells."""
    rows = np.arange(tile.top, tile.bottom) >> halvings
    columns = np.arange(tile.left, tile.right) >> halvings
    enlarged: Image = mask[rows[:, None], columns]
    return enlarged


def _twice(image: Image, tile: Tile) -> Image:
    """A tile of an image enlarged by two, by the nearest pixel."""
    return _enlarged(image, tile, 1)
