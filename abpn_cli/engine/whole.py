"""Networks that paint the whole photo anew: the rivals of ABPN, each in a file of its own.

They have no mask, so a photo is open to change wherever the user's masks leave it; there their
edit, times strength and masks, lands in the photo's own colour space and depth, as ABPN's does.
They see the photo upright, compute in float32, and go through it tile by tile after one look at the
whole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from .. import weights
from ..cores import Cores
from ..errors import PhotoError, UsageError
from ..nets.asapnet import AsapNet
from ..nets.lptn import Lptn
from ..photo import Edit, Photo, Pixels, turn_back, turn_upright, with_warnings
from . import fitted
from .base import Engine, Worked
from .blending import NO_CHANGE, laid_over, to_integers
from .clock import stage
from .colour import Image, colour_space
from .crew import Crew
from .finish import no_numbers
from .gate import Plane
from .memory import BLOCK_BYTES, MASK_BYTES_PER_PIXEL, PROGRAM_BYTES, check_fits
from .network import at_work, choose_device, choose_precision
from .pyramid import Canvas, Tile

PRECISION = "float32"


class Plan(NamedTuple):
    """How a photo is painted once the network has looked at the whole of it.

    tiles: cover the upright photo, none twice; paint: makes the network's version of one, (h, w, 3)
    sRGB, not clamped, in any thread.
    """

    tiles: Sequence[Tile]
    paint: Callable[[Tile], Image]


class _Share(NamedTuple):
    """How much of an edit lands where, upright: strength · only · (1 - protect)."""

    strength: float
    only: Plane | None
    protect: Plane | None

    def open(self, tile: Tile) -> Plane:
        """What the masks leave of a tile, (h, w) in [0, 1]."""
        left = np.ones((tile.bottom - tile.top, tile.right - tile.left), np.float32)
        if self.only is not None:
            left *= self.only[tile.window]
        if self.protect is not None:
            left *= 1 - self.protect[tile.window]
        return left


class WholeEngine(Engine):
    """Repaints photos with one set of weights; a subclass says how."""

    def __init__(
        self,
        net: Lptn | AsapNet,
        device: torch.device,
        max_bytes: int,
        cores: Cores | None = None,
    ) -> None:
        """Take a network that lies on its device; the rest as of `Retoucher`."""
        self.device, self.precision = device, PRECISION
        self.weight_bytes = sum(p.numel() * p.element_size() for p in net.parameters())
        self.spare_bytes = max_bytes - PROGRAM_BYTES
        self._max_bytes = max_bytes
        self._crew = Crew(cores)

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
        self._check(photo, sum(mask is not None for mask in (only, protect)))
        only, only_warning = fitted(only, photo, "--only")
        protect, protect_warning = fitted(protect, photo, "--protect")
        space, colour_warning = colour_space(photo.metadata.icc)
        turn = photo.metadata.orientation
        upright = Canvas(turn_upright(photo.pixels, turn), space, self._multiple)
        masks = [None if mask is None else turn_upright(mask, turn) for mask in (only, protect)]
        share = _Share(strength, *masks)
        pixels = photo.pixels.copy()
        with at_work(self.device):
            changed = self._lay(photo.source, upright, share, turn_upright(pixels, turn))
        opened = _opened(upright.pixels.shape[:2], share)
        edit = Edit(
            float(opened.mean()), changed / opened.size, self._levels(upright.pixels.shape[:2]),
            str(self.device), precision=PRECISION,
        )  # fmt: skip
        told = filter(None, (colour_warning, only_warning, protect_warning))
        done = with_warnings(replace(photo, pixels=pixels), *told)
        return Worked(done, edit, lambda: turn_back(opened, turn))

    def gate(self, photo: Photo) -> Plane:
        """1 everywhere: such a network has no mask; (H, W).

        Raises:
            PhotoError: as `retouch`.
        """
        self._check(photo, masks=1)
        return np.ones(photo.pixels.shape[:2], np.float32)

    def peak_bytes(self, photo: Photo, masks: int = 0) -> int:
        """Most memory that a photo takes, program, network and so many user's masks included."""
        height, width = turn_upright(photo.pixels, photo.metadata.orientation).shape[:2]
        alpha = 0 if photo.alpha is None else int(photo.alpha.nbytes)
        needed: int = (
            PROGRAM_BYTES
            + self._crew.size * BLOCK_BYTES
            + 2 * self.weight_bytes  # once as read from the file
            + 2 * int(photo.pixels.nbytes)
            + alpha
            + height * width * (2 + MASK_BYTES_PER_PIXEL * masks)  # what is open, and what of it
            + self._whole_bytes((height, width))
        )
        return needed

    @abstractmethod
    def _plan(self, canvas: Canvas) -> Plan:
        """Look at a whole photo, upright; work may be shared among `self._crew`."""

    @abstractmethod
    def _whole_bytes(self, size: tuple[int, int]) -> int:
        """What `_plan` takes, and what it holds meanwhile, for an upright photo of `size`."""

    @abstractmethod
    def _levels(self, size: tuple[int, int]) -> int:
        """How often a photo is halved for the network to see it whole."""

    @property
    @abstractmethod
    def _multiple(self) -> int:
        """What the sides of the padded photo divide by."""

    @property
    @abstractmethod
    def _least_side(self) -> int:
        """Of the smallest photo, px."""

    def _check(self, photo: Photo, masks: int) -> None:
        height, width = photo.pixels.shape[:2]
        if min(height, width) < self._least_side:
            raise PhotoError(
                photo.source,
                f"{width} x {height} pixels are too few",
                f"Both sides must have at least {self._least_side} pixels.",
            )
        needed = self.peak_bytes(photo, masks)
        check_fits(photo.source, (height, width), needed, self._max_bytes)

    def _lay(self, source: Path, canvas: Canvas, share: _Share, target: Pixels) -> int:
        """Write over `target`, a view of a copy of the canvas' pixels; return how many changed."""
        if share.strength == 0:
            return 0
        plan = self._plan(canvas)
        wanted = [tile for tile in plan.tiles if share.open(tile).any()]

        def make(tile: Tile) -> tuple[Tile, Pixels, int]:
            painted = plan.paint(tile)
            if not np.isfinite(painted).all():
                raise no_numbers(source)
            with stage("blend"):
                before: Pixels = canvas.pixels[tile.window].copy()
                after = _landed(canvas, before, painted, share.open(tile) * share.strength)
                same = cv2.inRange(after ^ before, NO_CHANGE, NO_CHANGE)
                return tile, after, same.size - cv2.countNonZero(same)

        changed = 0
        for tile, after, count in self._crew.in_turn(make, wanted):
            target[tile.window] = after
            changed += count
        return changed


def open_net(path: Path, device: str, precision: str, detail: bool) -> weights.Loaded:
    """Load a rival's weights onto the device asked for.

    Raises:
        UsageError: an unknown device, another precision, or `detail`, which has no meaning here.
        DeviceError, WeightsError: as `Retoucher`.
    """
    where = choose_device(device)
    net = weights.header_of(path).net
    if precision != "auto" and choose_precision(precision, where) != PRECISION:
        raise UsageError(
            f"--precision {precision}: a network of the kind '{net}' computes in {PRECISION}. "
            "Leave it out."
        )
    if detail:
        raise UsageError(
            f"--detail: a network of the kind '{net}' sees no thumbnail. Leave it out."
        )
    return weights.load(path, where)


def _landed(canvas: Canvas, before: Pixels, painted: Image, factor: Plane) -> Pixels:
    """New integers of a tile: where the factor is 0, those it had."""
    seen = canvas.space.to_network(before)
    if not factor.min() == 1 == factor.max():
        painted = seen + factor[..., None] * (painted - seen)
    landed = to_integers(canvas.space.land(before, seen, painted), before.dtype)
    return laid_over(before, landed, factor > 0)


def _opened(size: tuple[int, int], share: _Share) -> NDArray[np.bool_]:
    """Where the masks leave a photo of `size` open, whatever the strength."""
    opened = np.ones(size, np.bool_)
    if share.only is not None:
        opened &= share.only > 0
    if share.protect is not None:
        opened &= share.protect < 1
    return opened
