"""Photo to Photo: the network's edit on a photo's own pixels, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..errors import PhotoError
from ..nets.abpn import MIN_SIDE
from ..nets.lrl import LRL_MULTIPLE, MASK_STRIDE
from ..photo import (
    DRAW_ANEW,
    Edit,
    Notice,
    Photo,
    mask_fit,
    turn_back,
    turn_upright,
    with_warnings,
)
from .base import Engine, Worked
from .colour import Image, colour_space
from .contours import damp_ghosts
from .crew import Crew
from .finish import Sketch, finish, no_numbers, unrounded
from .gate import Gate, Plane, Reach, fit_mask
from .memory import PROGRAM_BYTES, check_fits, peak_bytes
from .network import Network, Painted, choose_device, choose_precision
from .outlook import Outlook, outlook
from .pyramid import Canvas, Tile, coarse_levels, first_level, pad, padded_length

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
    ) -> None:
        """Load the weights.

        device:    "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".
        precision: "float32", "bf16", "fp16", or "auto" (see `choose_precision`), of the refining
                   convolutions.
        max_bytes: what one photo may take, program and network included.
        detail:    one pyramid level less: a thumbnail of twice the side.

        Raises:
            UsageError: an unknown device or precision, or fp16 on the CPU.
            DeviceError: CUDA is asked for and is not there.
            WeightsError: weights missing or damaged.
        """
        where = choose_device(device)
        self._network = Network(weights, where, choose_precision(precision, where))
        self._crew = Crew()
        self._weights = weights
        self._max_bytes = max_bytes
        self._detail = detail

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
        with self._network.at_work():
            sketch, warnings = self._sketch(photo, strength, only, protect)
            done = finish(self._network, self._crew, sketch)
        edit = Edit(
            done.gated, done.changed, sketch.levels, str(self.device), done.largest, sketch.ghosts,
            precision=self.precision,
        )  # fmt: skip
        retouched = with_warnings(replace(photo, pixels=done.pixels), *warnings)
        return Worked(retouched, edit, sketch.reach.gate.opened)

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
        with self._network.at_work():
            sketch, _ = self._sketch(photo, strength, only, protect)
            yield from unrounded(self._network, self._crew, sketch)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._network.device

    @property
    def precision(self) -> str:
        """In what its convolutions compute."""
        return self._network.precision

    def gate(self, photo: Photo) -> Plane:
        """Compute g alone: (H, W) float32 in [0, 1], the photo's size and stored orientation.

        Raises:
            PhotoError: as `retouch`.
            DeviceError: the device is out of memory.
        """
        self._check(photo, masks=1)
        canvas, _ = self._canvas(photo)
        with self._network.at_work():
            images = coarse_levels(first_level(canvas, self._crew), self._levels(photo))
            painted = self._paint(photo, images[-1])
        return self._gate(photo, painted).whole()

    @property
    def task(self) -> str:
        """What the network learnt to retouch, as its weights say."""
        return self._network.task

    @property
    def style(self) -> str:
        """For what the network was made, "cloth" or "face"; what was tuned further keeps it."""
        return self._network.config.style

    def in_detail(self) -> Retoucher:
        """The same network, with a thumbnail of twice the side."""
        twin = copy(self)
        twin._detail = True
        return twin

    @property
    def max_bytes(self) -> int:
        """What one photo may take, program and network included."""
        return self._max_bytes

    @property
    def weight_bytes(self) -> int:
        """Memory the network's parameters take."""
        return self._network.weight_bytes

    @property
    def spare_bytes(self) -> int:
        """What the program itself leaves of the memory allowed."""
        return self._max_bytes - PROGRAM_BYTES

    def peak_bytes(self, photo: Photo, masks: int = 0) -> int:
        """Most memory that a photo takes, program, network and so many user's masks included."""
        return peak_bytes(
            photo,
            self._outlook(photo).thumbnail,
            self._network.weight_bytes,
            self._network.config.width,
            masks,
            self._crew.size,
        )

    def _sketch(
        self, photo: Photo, strength: float, only: Plane | None, protect: Plane | None
    ) -> tuple[Sketch, list[str]]:
        """Find the edit at thumbnail size; arguments as of `retouch`, and warnings for the user."""
        self._check(photo, masks=sum(mask is not None for mask in (only, protect)))
        only, only_warning = fitted(only, photo, "--only")
        protect, protect_warning = fitted(protect, photo, "--protect")
        canvas, colour_warning = self._canvas(photo)
        images = coarse_levels(first_level(canvas, self._crew), self._levels(photo))
        painted = self._paint(photo, images[-1])
        layer = self._network.unblend(images[-1], painted.retouched)
        gate = self._gate(photo, painted)
        seen = Gate(gate.grid, MASK_STRIDE, images[-1].shape[:2]).whole()[..., None]
        retouched = self._network.blend(images[-1], layer * seen)
        layer, ghosts = damp_ghosts(images[-1], retouched, layer)
        reach = Reach(gate, strength, only, protect)
        warnings = [w for w in (colour_warning, only_warning, protect_warning) if w]
        return Sketch(photo.source, canvas, images, layer, reach, ghosts), warnings

    def _check(self, photo: Photo, masks: int) -> None:
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
        check_fits(photo.source, (height, width), self.peak_bytes(photo, masks), self._max_bytes)

    def _outlook(self, photo: Photo) -> Outlook:
        height, width = photo.pixels.shape[:2]
        return outlook((height, width), self._detail)

    def _levels(self, photo: Photo) -> int:
        return self._outlook(photo).levels

    def _canvas(self, photo: Photo) -> tuple[Canvas, str]:
        space, warning = colour_space(photo.metadata.icc)
        return Canvas(photo.pixels, space, 2 ** self._levels(photo)), warning

    def _paint(self, photo: Photo, thumbnail: Image) -> Painted:
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

    def _gate(self, photo: Photo, painted: Painted) -> Gate:
        height, width = photo.pixels.shape[:2]
        grid = self._network.gate(painted.mask)
        return Gate(grid, MASK_STRIDE * 2 ** self._levels(photo), (height, width))


def fitted(mask: Plane | None, photo: Photo, option: str) -> tuple[Plane | None, str]:
    """Bring a user's mask to the photo's size, with a warning where it had to be resized.

    Where the photo lies on its side, a mask of its upright shape was drawn on it upright.

    Raises:
        PhotoError: the mask has another shape, so that nobody can tell what it marks.
    """
    size = (photo.pixels.shape[0], photo.pixels.shape[1])
    if mask is None or mask.shape == size:
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
