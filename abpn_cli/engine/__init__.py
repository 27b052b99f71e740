"""Photo to Photo: the network's edit on a photo's own pixels, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..cores import Cores
from ..errors import PhotoError
from ..nets.abpn import MIN_SIDE
from ..nets.lrl import LRL_MULTIPLE, MASK_STRIDE
from ..photo import (
    DRAW_ANEW,
    Edit,
    Notice,
    Photo,
    Pixels,
    mask_fit,
    turn_back,
    turn_upright,
    with_warnings,
)
from .base import Engine, Worked
from .colour import Image, colour_space
from .contours import damp_ghosts
from .crew import Crew
from .device import DevicePath, Order
from .finish import Sketch, finish, no_numbers, unrounded
from .gate import Gate, Plane, Reach, fit_mask
from .memory import PROGRAM_BYTES, Needs, check_fits, peak_bytes
from .network import Network, Painted, choose_device, choose_precision
from .outlook import Outlook, outlook
from .pyramid import Canvas, Tile, down, held_levels, pad, padded_length, upsample

__all__ = ["Engine", "Retoucher", "Worked", "choose_device"]


class Retoucher(Engine):
    """Retouches photos with one set of weights on one device."""

    def __init__(
        self,
        weights: Path,
        device: str = "auto",
        precision: str = "float32",
        max_bytes: int = 4 * 2**30,
        detail: bool = False,
        cores: Cores | None = None,
    ) -> None:
        """Load the weights.

        device:    "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".
        precision: "float32", "bf16", "fp16", or "auto" (see `choose_precision`), of the refining
                   convolutions.
        max_bytes: what one photo may take, program and network included.
        detail:    one pyramid level less: a thumbnail of twice the side. M is still that of the
                   usual thumbnail: shown things twice as large, the network takes more for cloth.
        cores:     whose threads this is to share; of its own, as many as torch has, without.

        Raises:
            UsageError: an unknown device or precision, or fp16 on the CPU.
            DeviceError: CUDA is asked for and is not there.
            WeightsError: weights missing or damaged.
        """
        where = choose_device(device)
        self._network = Network(weights, where, choose_precision(precision, where))
        self.device, self.precision = self._network.device, self._network.precision
        self.weight_bytes = self._network.weight_bytes
        self.spare_bytes = max_bytes - PROGRAM_BYTES
        self._device_path = DevicePath(self._network) if where.type == "cuda" else None
        self._crew = Crew(cores)
        self._weights = weights
        self._max_bytes = max_bytes
        self._detail = detail
        self._mask_in_detail = False

    def worked(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> Worked:
        """Do what `retouch` does, and tell where the photo was open to change.

        Raises:
            PhotoError, DeviceError: as `retouch`.
        """
        order, warnings = self._order(photo, strength, only, protect)
        return self._worked(photo, order, warnings, photo.pixels.copy)

    def overwritten(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> tuple[Photo, Edit]:
        """Do what `retouch` does, on the CPU in the photo's own pixels if they can be written to.

        Raises:
            PhotoError, DeviceError: as `retouch`; then the pixels may be changed in part.
        """
        if self._device_path is not None or not photo.pixels.flags.writeable:
            return self.retouch(photo, strength, only, protect)
        order, warnings = self._order(photo, strength, only, protect, results=0)
        worked = self._worked(photo, order, warnings, lambda: photo.pixels)
        return worked.photo, worked.edit

    def unrounded(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
    ) -> Iterator[tuple[Tile, Image]]:
        """Do what `retouch` does, and yield tile by tile what it rounds to integers.

        Raises:
            PhotoError, DeviceError: as `retouch`.
        """
        order, _ = self._order(photo, strength, only, protect)
        with self._network.at_work():
            if self._device_path is not None and self._device_path.takes(order.canvas):
                yield from self._device_path.unrounded(order)
            else:
                yield from unrounded(self._network, self._crew, self._sketch(photo, order))

    def gate(self, photo: Photo) -> Plane:
        """Compute g alone: (H, W) float32 in [0, 1], the photo's size and stored orientation.

        Raises:
            PhotoError: as `retouch`.
            DeviceError: the device is out of memory.
        """
        order, _ = self._order(photo, masks=1, results=0)
        with self._network.at_work():
            if self._device_path is not None and self._device_path.takes(order.canvas):
                return self._device_path.gate(order).whole()
            thumbnail = held_levels(order.canvas, order.levels, self._crew)[-1]
            with self._crew.together():
                mask = self._find(photo, thumbnail)
        return order.open(mask).whole()

    @property
    def task(self) -> str:
        """What the network learnt to retouch, as its weights say."""
        return self._network.task

    @property
    def style(self) -> str:
        """For what the network was made, "cloth" or "face"; what was tuned further keeps it."""
        return self._network.config.style

    def in_detail(self) -> Retoucher:
        """The same network, with a thumbnail of twice the side for M too."""
        twin = copy(self)
        twin._detail = twin._mask_in_detail = True
        return twin

    @property
    def max_bytes(self) -> int:
        """What one photo may take, program and network included."""
        return self._max_bytes

    def peak_bytes(self, photo: Photo, masks: int = 0, results: int = 1) -> int:
        """Most memory that a photo takes, program, network and so many user's masks included.

        results: photos that are made besides the one given; none where it is overwritten.
        """
        config = self._network.config
        needs = Needs(self._network.weight_bytes, config.width, self._crew.size, masks, results)
        return peak_bytes(photo, self._outlook(photo), needs)

    def _order(
        self,
        photo: Photo,
        strength: float = 1.0,
        only: Plane | None = None,
        protect: Plane | None = None,
        masks: int = 0,
        results: int = 1,
    ) -> tuple[Order, list[str]]:
        """Look at all that can be wrong; arguments as of `retouch`, and warnings for the user.

        masks: how many planes of the photo's size there will be besides the user's; results: as of
        `peak_bytes`.
        """
        self._check(photo, masks + sum(mask is not None for mask in (only, protect)), results)
        only, only_warning = fitted(only, photo, "--only")
        protect, protect_warning = fitted(protect, photo, "--protect")
        canvas, colour_warning = self._canvas(photo)
        order = Order(
            photo.source, canvas, self._levels(photo), photo.metadata.orientation,
            partial(self._gate, photo), strength, only, protect, self._finds_smaller(photo),
        )  # fmt: skip
        return order, [w for w in (colour_warning, only_warning, protect_warning) if w]

    def _worked(
        self, photo: Photo, order: Order, warnings: list[str], target: Callable[[], Pixels]
    ) -> Worked:
        """Retouch; target: makes the integers that the CPU's way writes over."""
        with self._network.at_work():
            if self._device_path is not None and self._device_path.takes(order.canvas):
                done, gate, ghosts = self._device_path.retouch(order)
            else:
                sketch = self._sketch(photo, order)
                gate, ghosts = sketch.reach.gate, sketch.ghosts
                done = finish(self._network, self._crew, sketch, target())
        edit = Edit(
            done.gated, done.changed, order.levels, str(self.device), done.largest, ghosts,
            precision=self.precision,
        )  # fmt: skip
        retouched = with_warnings(replace(photo, pixels=done.pixels), *warnings)
        return Worked(retouched, edit, gate.opened)

    def _sketch(self, photo: Photo, order: Order) -> Sketch:
        """Find the edit at thumbnail size."""
        held = held_levels(order.canvas, order.levels, self._crew)
        thumbnail = held[-1]
        painted = self._paint(photo, thumbnail)
        layer = self._network.unblend(thumbnail, painted.retouched)
        gate = order.open(painted.mask)
        seen = Gate(gate.grid, MASK_STRIDE, thumbnail.shape[:2]).whole()
        retouched = self._network.blender.blend(thumbnail, layer, seen).image
        layer, ghosts = damp_ghosts(thumbnail, retouched, layer)
        reach = Reach(gate, order.strength, order.only, order.protect)
        return Sketch(photo.source, order.canvas, order.levels, held, layer, reach, ghosts)

    def _check(self, photo: Photo, masks: int, results: int) -> None:
        height, width = photo.pixels.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise PhotoError(
                photo.source,
                f"{width} x {height} pixels are too few",
                f"Both sides must have at least {MIN_SIDE} pixels.",
            )
        config = self._network.config
        if not config.refine_shared and self._levels(photo) > config.levels:
            raise PhotoError(
                photo.source,
                f"takes {self._levels(photo)} refining modules, {self._weights.name} holds "
                f"{config.levels}",
                "Use weights with a shared refining module, or retouch a smaller copy.",
            )
        needed = self.peak_bytes(photo, masks, results)
        check_fits(photo.source, (height, width), needed, self._max_bytes)

    def _outlook(self, photo: Photo) -> Outlook:
        height, width = photo.pixels.shape[:2]
        return outlook((height, width), self._detail)

    def _levels(self, photo: Photo) -> int:
        return self._outlook(photo).levels

    def _canvas(self, photo: Photo) -> tuple[Canvas, str]:
        space, warning = colour_space(photo.metadata.icc)
        return Canvas(photo.pixels, space, 2 ** self._levels(photo)), warning

    def _finds_smaller(self, photo: Photo) -> bool:
        """Whether M is that of half the thumbnail: with `detail`, where that makes it larger."""
        size = photo.pixels.shape[0], photo.pixels.shape[1]
        return outlook(size, self._mask_in_detail).levels > self._levels(photo)

    def _paint(self, photo: Photo, thumbnail: Image) -> Painted:
        """R_l of the thumbnail, and its M or that of half of it."""
        with self._crew.together():
            painted = self._painted(photo, thumbnail)
            if self._finds_smaller(photo):
                return Painted(painted.retouched, self._find(photo, thumbnail))
            return painted

    def _find(self, photo: Photo, thumbnail: Image) -> Plane:
        """M alone, (ceil(h/4), ceil(w/4)) of the thumbnail, by it or by half of it."""
        if not self._finds_smaller(photo):
            return self._painted(photo, thumbnail).mask
        found = self._painted(photo, down(thumbnail)).mask
        height, width = (-(-length // MASK_STRIDE) for length in thumbnail.shape[:2])
        return upsample(found)[:height, :width]

    def _painted(self, photo: Photo, thumbnail: Image) -> Painted:
        """Run the LRL on the upright thumbnail; R_l and M come back turned and cropped [D15]."""
        height, width = thumbnail.shape[:2]
        orientation = photo.metadata.orientation
        whole = pad(
            thumbnail, (padded_length(height, LRL_MULTIPLE), padded_length(width, LRL_MULTIPLE))
        )
        painted = self._network.paint(turn_upright(whole, orientation))
        retouched = turn_back(painted.retouched, orientation)[:height, :width]
        mask = turn_back(painted.mask, orientation)
        mask = mask[: -(-height // MASK_STRIDE), : -(-width // MASK_STRIDE)]
        if not (np.isfinite(retouched).all() and np.isfinite(mask).all()):
            raise no_numbers(photo.source)
        return Painted(np.ascontiguousarray(retouched), mask)

    def _gate(self, photo: Photo, mask: Plane) -> Gate:
        """What M, (ceil(h/4), ceil(w/4)) of the thumbnail, opens of a photo."""
        height, width = photo.pixels.shape[:2]
        grid = self._network.gate(mask)
        return Gate(grid, MASK_STRIDE * 2 ** self._levels(photo), (height, width))


def fitted(mask: Plane | None, photo: Photo, option: str) -> tuple[Plane | None, str]:
    """Bring a user's mask to the photo's size, with a warning where it had to be resized.

    A mask of the photo's upright shape was drawn on it upright; another of its stored shape is as
    the pixels lie.

    Raises:
        PhotoError: the mask has another shape, so that nobody can tell what it marks.
    """
    size = (photo.pixels.shape[0], photo.pixels.shape[1])
    if mask is None:
        return mask, ""
    had = (mask.shape[0], mask.shape[1])
    fit = mask_fit(had, size, photo.metadata.orientation, option)
    if fit.fault:
        raise PhotoError(photo.source, fit.fault, DRAW_ANEW)
    if fit.turned:
        mask = np.ascontiguousarray(turn_back(mask, photo.metadata.orientation))
    if mask.shape == size:
        return mask, ""
    return fit_mask(mask, size), Notice(fit.notice)
