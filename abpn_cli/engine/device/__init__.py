"""A photo's whole way on a device: integers go up, integers come back, nothing else in between.

Only photos whose values are sRGB, or taken for it, go this way: those in other colour spaces are
blended on the CPU (`finish.py`), where their curves are, and the convolutions alone run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...nets.abpn import in_light
from ...photo import Pixels
from ..colour import AsIs, Image
from ..finish import Finished, no_numbers
from ..gate import Gate, Plane, Reach
from ..network import PRECISIONS, Network, computed_by
from ..pyramid import Canvas, Tile
from .fused import FusedSteps
from .levels import Levels, Sizes
from .plan import open_share
from .steps import Steps, TorchSteps
from .thumbnail import Thumbnail
from .traffic import Traffic


class Order(NamedTuple):
    """What is asked for one photo.

    levels: number of halvings l; open: makes the gate of M, (ceil(h/4), ceil(w/4)); strength, only,
    protect: as of `Reach`; finds_smaller: M is that of half the thumbnail, enlarged.
    """

    source: Path
    canvas: Canvas
    levels: int
    orientation: int
    open: Callable[[Plane], Gate]
    strength: float = 1.0
    only: Plane | None = None
    protect: Plane | None = None
    finds_smaller: bool = False


class Done(NamedTuple):
    """A photo retouched; gate: where it was open; ghosts: share of the thumbnail damped."""

    finished: Finished
    gate: Gate
    ghosts: float


class DevicePath:
    """One network's way on its device."""

    def __init__(
        self,
        network: Network,
        sizes: Sizes = Sizes(),  # noqa: B008 (immutable)
    ) -> None:
        """Lay out the weights of a network for the device it is on."""
        device, dtype = network.device, PRECISIONS[network.precision]
        self._device = device
        by_triton = computed_by(device, network.precision) == "triton"
        kind = FusedSteps if by_triton else TorchSteps
        self._steps: Steps = kind(network.refining, network.terms, device, dtype)
        keep = in_light if network.config.light_only else _as_painted
        self._thumbnail = Thumbnail(network.painter.paint, keep, network.terms, device)
        self._traffic = Traffic(device)
        self._sizes = sizes
        self._one_at_a_time = Lock()

    @staticmethod
    def takes(canvas: Canvas) -> bool:
        """Whether photos in this colour space go this way."""
        return isinstance(canvas.space, AsIs)

    @torch.inference_mode()
    def gate(self, order: Order) -> Gate:
        """Find the gate alone.

        Raises:
            PhotoError: the network returns values that are no numbers.
        """
        with self._one_at_a_time:
            levels = self._levels(order)
            _, gate = self._painted(order, levels.thumbnail())
            self._traffic.settle()
        return gate

    @torch.inference_mode()
    def retouch(self, order: Order) -> Done:
        """Retouch a photo.

        Raises:
            PhotoError: as `gate`.
        """
        pixels = order.canvas.pixels
        height, width = pixels.shape[:2]
        result: Pixels = np.empty(pixels.shape, pixels.dtype)
        with self._one_at_a_time:
            levels, reach, ghosts = self._sketched(order)
            for rows, fetch in levels.bands(rounded=True):
                made = pixels[rows.first : rows.last]
                if fetch is not None:
                    made = fetch().view(pixels.dtype)[: len(made), :width]
                result[rows.first : rows.last] = made
            changed, largest = self._told(order, levels)
            damped = float(ghosts)
            self._traffic.settle()
        share = open_share(reach.gate)
        finished = Finished(result, share, changed / (height * width), largest)
        return Done(finished, reach.gate, damped)

    @torch.inference_mode()
    def unrounded(self, order: Order) -> Iterator[tuple[Tile, Image]]:
        """Yield band by band what `retouch` rounds, float32 in [0, 1].

        Raises:
            PhotoError: as `gate`.
        """
        height, width = order.canvas.pixels.shape[:2]
        with self._one_at_a_time:
            levels, _, _ = self._sketched(order)
            for rows, fetch in levels.bands(rounded=False):
                tile = Tile(rows.first, min(rows.last, height), 0, width)
                if tile.bottom <= tile.top:
                    continue  # nothing but padding
                image = order.canvas.image(tile)
                if fetch is not None:
                    image[:] = fetch()[: len(image), :width]
                yield tile, image
            self._told(order, levels)
            self._traffic.settle()

    def _levels(self, order: Order) -> Levels:
        return Levels(self._steps, self._traffic, self._sizes, order.canvas, order.levels)

    def _sketched(self, order: Order) -> tuple[Levels, Reach, Tensor]:
        """The levels with B_2 in them, what lands where, and the share of ghosts damped, (,)."""
        levels = self._levels(order)
        image = levels.thumbnail()
        retouched, gate = self._painted(order, image)
        with self._traffic.timed("lrl"):
            grid = torch.from_numpy(gate.grid).to(self._device)
            layer, ghosts = self._thumbnail.layer(image, retouched, grid)
        reach = Reach(gate, order.strength, order.only, order.protect)
        levels.refine(layer, reach, grid)
        return levels, reach, ghosts

    def _painted(self, order: Order, image: Tensor) -> tuple[Tensor, Gate]:
        """R_l, and the gate of M, by which only the host can tell tiles."""
        with self._traffic.timed("lrl"):
            retouched, mask = self._thumbnail.paint(image, order.orientation)
            if order.finds_smaller:
                mask = self._thumbnail.mask_of_half(image, order.orientation)
            sound = retouched.isfinite().all() & mask.isfinite().all()
            told = torch.cat([mask.flatten(), sound.float()[None]]).cpu().numpy()
            if not told[-1]:
                raise no_numbers(order.source)
            return retouched, order.open(told[:-1].reshape(tuple(mask.shape)))

    def _told(self, order: Order, levels: Levels) -> tuple[int, float]:
        changed, largest = levels.told()
        if not isfinite(largest):
            raise no_numbers(order.source)
        return changed, largest


def _as_painted(thumbnail: Tensor, retouched: Tensor) -> Tensor:
    """All of R_l."""
    return retouched
